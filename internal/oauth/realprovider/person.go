package main

import (
	"html/template"
	"net/http"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The pages for a person.
const (
	loginPath  = "/login"
	devicePath = "/device"
)

// form is both pages. The person of a test need not fill it in.
var form = template.Must(template.New("form").Parse(`<!DOCTYPE html>
<title>Sign in</title>
<h1>Sign in</h1>
<p>{{.Text}}</p>
<form method="post">
{{- if .Device}}<p><label>Code <input name="user_code" value="{{.Code}}" autofocus></label></p>{{end}}
<p><label>Name <input name="name"></label></p>
<p><label>Password <input name="password" type="password"></label></p>
<p><button>Allow</button> <button name="deny" value="1">Deny</button></p>
</form>
`))

// page is the data of the form.
type page struct {
	Text   string
	Device bool
	Code   string
}

func (p page) show(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = form.Execute(w, p) // an error is the browser's leaving
}

// person returns the name in a form if the password is right, or else "".
func person(r *http.Request) string {
	name := r.PostFormValue("name")
	if password, ok := users[name]; ok && r.PostFormValue("password") == password {
		return name
	}
	return ""
}

// login is the page to which the authorization endpoint sends a browser.
func (p *provider) login(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("id")
	q, err := p.storage.question(id)
	if err != nil {
		http.Error(w, "This sign-in is "+err.Error()+".", http.StatusNotFound)
		return
	}
	if r.FormValue("deny") != "" {
		_ = p.storage.DeleteAuthRequest(r.Context(), id)
		op.AuthRequestError(w, r, q, oidc.ErrAccessDenied().WithDescription("the person declined"), p.Provider)
		return
	}
	user := r.FormValue("user")
	if user == "" && r.Method == http.MethodPost {
		user = person(r)
	} else if user == "" {
		user = q.LoginHint
	}
	if _, ok := users[user]; !ok {
		text := "The program " + q.ClientID + " wants to read your mail."
		if r.Method == http.MethodPost {
			text = "Name or password is wrong."
		}
		page{Text: text}.show(w, http.StatusOK)
		return
	}
	if err := p.storage.answer(id, user); err != nil {
		http.Error(w, "This sign-in is "+err.Error()+".", http.StatusNotFound)
		return
	}
	http.Redirect(w, r, p.callback(id), http.StatusFound)
}

// device is the page at which a person types the code of a device.
func (p *provider) device(w http.ResponseWriter, r *http.Request) {
	blank := page{Text: "A device wants to read your mail.", Device: true, Code: r.FormValue("user_code")}
	if r.Method != http.MethodPost {
		blank.show(w, http.StatusOK)
		return
	}
	user := ""
	if r.PostFormValue("deny") == "" {
		if user = person(r); user == "" {
			blank.Text = "Name or password is wrong."
			blank.show(w, http.StatusOK)
			return
		}
	}
	p.decide(w, r, user)
}

// approve lets a device have tokens, as a test wants it.
func (p *provider) approve(w http.ResponseWriter, r *http.Request) {
	user := r.FormValue("user")
	if user == "" {
		user = "alice"
	}
	if _, ok := users[user]; !ok {
		http.Error(w, "There is no such user.", http.StatusNotFound)
		return
	}
	p.decide(w, r, user)
}

func (p *provider) deny(w http.ResponseWriter, r *http.Request) { p.decide(w, r, "") }

// decide ends a device's wait. The user "" denies.
func (p *provider) decide(w http.ResponseWriter, r *http.Request, user string) {
	if err := p.storage.decide(r.FormValue("user_code"), user); err != nil {
		http.Error(w, "This code is "+err.Error()+".", http.StatusNotFound)
		return
	}
	_, _ = w.Write([]byte("Done. You can close this page.\n"))
}

// expire makes the access tokens of now expire, so that no test waits for that.
func (p *provider) expire(w http.ResponseWriter, _ *http.Request) {
	p.storage.expire()
	_, _ = w.Write([]byte("Done.\n"))
}
