package discover

import "strings"

// Secret is the kind of secret that a provider wants for POP3.
type Secret int

// The kinds of secrets.
const (
	Password    Secret = iota // that of the account
	AppPassword               // one that the provider makes for a program
	OAuth                     // an access token; there is no password for programs
)

// Provider is a well-known provider of mail. docs/providers.md says where the facts come from.
type Provider struct {
	Name     string
	Host     string // it speaks POP3 on port 995, with TLS from the first octet; "" if there is no POP3
	Local    bool   // the user is the part of the address before the "@", not the whole address
	Secret   Secret
	OAuth    string   // value of the key provider, if it signs people in with OAuth 2
	Interval string   // value of the key interval, if the usual one is too short; "" if not
	Needs    []string // what a person must do before; each is a whole sentence
	URL      string   // a page where that is done or described; "" if there is none
	domains  string   // separated by blanks; "x.{a,b}" stands for "x.a x.b"
}

// server returns the server of a provider.
func (p *Provider) server() Server { return Server{Host: p.Host, Port: "995"} }

// User returns the user name of an address.
func (p *Provider) User(address string) string {
	if at := strings.LastIndexByte(address, '@'); p != nil && p.Local && at > 0 {
		return address[:at]
	}
	return address
}

// ProviderOf returns the provider whose domain it is, or nil. The domain is in lower case.
func ProviderOf(domain string) *Provider {
	for i := range providers {
		for _, d := range providers[i].Domains() {
			if d == domain {
				return &providers[i]
			}
		}
	}
	return nil
}

// ProviderAt returns the provider that a server belongs to, or nil. Other domains may be served there
// too.
func ProviderAt(host string) *Provider {
	for i := range providers {
		if host != "" && providers[i].Host == host {
			return &providers[i]
		}
	}
	return nil
}

// Domains returns the domains of a provider's addresses.
func (p *Provider) Domains() []string {
	var domains []string
	for _, word := range strings.Fields(p.domains) {
		stem, list, several := strings.Cut(strings.TrimSuffix(word, "}"), "{")
		if !several {
			domains = append(domains, word)
			continue
		}
		for end := range strings.SplitSeq(list, ",") {
			domains = append(domains, stem+end)
		}
	}
	return domains
}

// Providers returns the table.
func Providers() []Provider { return providers }

// Sentences that several providers need.
const (
	enablePOP     = "POP3 must be switched on in the settings of the mailbox."
	appInstead    = "Make an app password; the password of the account is refused."
	appIfTwoSteps = "If you log in with a second factor, make an app password."
	codeInstead   = "Make an authorization code; the password of the account is refused."
)

// providers is the table. A domain is in it once.
var providers = []Provider{
	{
		Name: "Gmail", Host: "pop.gmail.com", Secret: AppPassword, OAuth: "google",
		domains: "gmail.com googlemail.com",
		Needs:   []string{enablePOP, "Make an app password, which needs the second factor, or use OAuth 2."},
		URL:     "https://myaccount.google.com/apppasswords",
	},
	{
		Name: "Outlook.com", Host: "outlook.office365.com", Secret: OAuth, OAuth: "microsoft",
		domains: "outlook.{com,at,be,cl,cz,de,dk,es,fr,hu,ie,in,it,jp,kr,lv,my,ph,pt,sa,sg,sk} " +
			"outlook.{co.id,co.il,co.th,com.ar,com.au,com.br,com.gr,com.tr,com.vn} " +
			"hotmail.{com,be,ca,cl,cz,de,dk,es,fi,fr,gr,hu,it,lt,lv,my,nl,no,ph,rs,se,sg,sk} " +
			"hotmail.{co.id,co.il,co.in,co.jp,co.kr,co.th,co.uk,co.za,com.ar,com.au,com.br,com.hk,com.tr,com.tw,com.vn} " +
			"live.{com,at,be,ca,cl,cn,de,dk,fi,fr,hk,ie,in,it,jp,nl,no,ru,se} " +
			"live.{co.jp,co.kr,co.uk,co.za,com.ar,com.au,com.mx,com.my,com.ph,com.pt,com.sg} " +
			"msn.com windowslive.com livemail.tw passport.com",
		Needs: []string{enablePOP, "Register a client, once, and sign in; no password is accepted."},
		URL:   "https://entra.microsoft.com",
	},
	{
		Name: "Yahoo", Host: "pop.mail.yahoo.com", Secret: AppPassword, OAuth: "yahoo",
		domains: "yahoo.{com,de,it,fr,es,se,ca,ie,gr,pl,ro,dk,no,co.in,co.uk,co.nz,co.id,com.au,com.ar,com.br,com.mx,com.sg,com.hk} " +
			"ymail.com myyahoo.com rocketmail.com cox.net",
		Needs: []string{appInstead},
		URL:   "https://login.yahoo.com/account/security",
	},
	{
		Name: "AOL", Host: "pop.aol.com", Secret: AppPassword,
		domains: "aol.{com,de,it,fr,es,se,co.uk,co.nz,com.au,com.ar,com.br,com.mx} " +
			"aim.com netscape.net netscape.com compuserve.com cs.com wmconnect.com verizon.net",
		Needs: []string{appInstead},
		URL:   "https://login.aol.com/account/security",
	},
	{
		Name: "GMX", Host: "pop.gmx.net", Secret: Password,
		domains: "gmx.{net,de,at,ch,org,eu,info,biz,li,tm}",
		Needs:   []string{enablePOP, appIfTwoSteps},
		URL:     "https://hilfe.gmx.net/pop-imap/einschalten.html",
	},
	{
		Name: "GMX", Host: "pop.gmx.com", Secret: Password,
		domains: "gmx.{com,us,co.uk,fr,es,pt,ie,ca}",
		Needs:   []string{enablePOP, appIfTwoSteps},
		URL:     "https://support.gmx.com/pop-imap/toggle.html",
	},
	{
		Name: "mail.com", Host: "pop.mail.com", Secret: Password,
		domains: "mail.com email.com",
		Needs:   []string{enablePOP, "The provider allows POP3 only to paying customers."},
		URL:     "https://support.mail.com/premium/imap/server.html",
	},
	{
		Name: "WEB.DE", Host: "pop3.web.de", Local: true, Secret: Password, Interval: "15m",
		domains: "web.de email.de",
		Needs:   []string{enablePOP, appIfTwoSteps},
		URL:     "https://hilfe.web.de/pop-imap/einschalten.html",
	},
	{
		Name: "T-Online", Host: "securepop.t-online.de", Secret: AppPassword,
		domains: "t-online.de magenta.de",
		Needs:   []string{"Set an e-mail password (E-Mail-Passwort); the password of the web page is refused."},
		URL:     "https://www.telekom.de/hilfe/apps-dienste/e-mail/programme/passwort-verwalten",
	},
	{
		Name: "Posteo", Host: "posteo.de", Secret: Password,
		domains: "posteo.{de,at,be,ca,ch,cl,co,co.uk,com,com.br,cr,cz,dk,ee,es,eu,fi,gl,gr,hn,hr,hu,ie,in,is,it,jp} " +
			"posteo.{la,li,lt,lu,me,mx,my,net,nl,no,nz,org,pe,pl,pm,pt,ro,se,sg,si,tn,uk,us}",
		Needs: []string{"With an additional mail account protection, switch on the access by programs."},
		URL:   "https://posteo.de/en/help",
	},
	{
		Name: "mailbox.org", Host: "pop3.mailbox.org", Secret: Password,
		domains: "mailbox.org",
		Needs:   []string{appIfTwoSteps},
		URL:     "https://kb.mailbox.org",
	},
	{
		Name: "Fastmail", Host: "pop.fastmail.com", Secret: AppPassword,
		domains: "fastmail.{com,fm,net,org,us,cn,de,es,fr,im,in,jp,mx,nl,se,to,tw,uk,co.uk,com.au} sent.com messagingengine.com",
		Needs:   []string{appInstead},
		URL:     "https://app.fastmail.com/settings/security/integrations",
	},
	{
		Name: "Zoho", Host: "pop.zoho.com", Secret: Password,
		domains: "zoho.com zohomail.com",
		Needs:   []string{enablePOP, appIfTwoSteps},
		URL:     "https://www.zoho.com/mail/help/pop-access.html",
	},
	{
		Name: "Zoho", Host: "pop.zoho.eu", Secret: Password,
		domains: "zoho.eu zohomail.eu",
		Needs:   []string{enablePOP, appIfTwoSteps},
		URL:     "https://www.zoho.com/mail/help/pop-access.html",
	},
	{
		Name: "Mail.ru", Host: "pop.mail.ru", Secret: AppPassword,
		domains: "mail.ru inbox.ru list.ru bk.ru internet.ru",
		Needs:   []string{"Make a password for external programs; the password of the account is refused."},
		URL:     "https://account.mail.ru/user/2-step-auth/passwords",
	},
	{
		Name: "Yandex", Host: "pop.yandex.com", Secret: AppPassword,
		domains: "yandex.{com,by,kz,ua,com.tr}",
		Needs:   []string{enablePOP, appInstead},
		URL:     "https://id.yandex.com/security/app-passwords",
	},
	{
		Name: "Yandex", Host: "pop.yandex.ru", Secret: AppPassword,
		domains: "yandex.ru ya.ru narod.ru",
		Needs:   []string{enablePOP, appInstead},
		URL:     "https://id.yandex.ru/security/app-passwords",
	},
	{
		Name: "Comcast", Host: "mail.comcast.net", Secret: Password,
		domains: "comcast.net",
		Needs:   []string{"Allow third-party access in the settings of the mailbox."},
		URL:     "https://www.xfinity.com/support/articles/third-party-email-access",
	},
	{
		Name: "AT&T", Host: "inbound.att.net", Secret: AppPassword,
		domains: "att.net ameritech.net bellsouth.net currently.com flash.net nvbell.net pacbell.net prodigy.net sbcglobal.net snet.net swbell.net wans.net",
		Needs:   []string{"Make a secure mail key; the password of the account is refused."},
		URL:     "https://www.att.com/support/article/email-support/KM1010523/",
	},
	{
		Name: "Free", Host: "pop.free.fr", Local: true, Secret: Password, domains: "free.fr",
	},
	{
		Name: "Naver", Host: "pop.naver.com", Secret: Password, domains: "naver.com",
		Needs: []string{enablePOP, appIfTwoSteps},
	},
	{
		Name: "QQ", Host: "pop.qq.com", Secret: AppPassword,
		domains: "qq.com vip.qq.com foxmail.com",
		Needs:   []string{enablePOP, codeInstead},
		URL:     "https://service.mail.qq.com",
	},
	{
		Name: "NetEase 163", Host: "pop.163.com", Secret: AppPassword, domains: "163.com",
		Needs: []string{enablePOP, codeInstead}, URL: "https://help.mail.163.com",
	},
	{
		Name: "NetEase 126", Host: "pop.126.com", Secret: AppPassword, domains: "126.com",
		Needs: []string{enablePOP, codeInstead}, URL: "https://help.mail.163.com",
	},
	{
		Name: "NetEase yeah.net", Host: "pop.yeah.net", Secret: AppPassword, domains: "yeah.net",
		Needs: []string{enablePOP, codeInstead}, URL: "https://help.mail.163.com",
	},
	{
		Name: "iCloud", domains: "icloud.com me.com mac.com",
		Needs: []string{"Apple offers IMAP alone."},
	},
	{
		Name: "Proton", domains: "proton.me protonmail.com protonmail.ch pm.me",
		Needs: []string{"Proton's own program, the Bridge, offers IMAP alone."},
	},
	{
		Name: "Tuta", domains: "tuta.{com,io} tutanota.{com,de} tutamail.com keemail.me",
		Needs: []string{"Tuta offers neither POP3 nor IMAP."},
	},
}
