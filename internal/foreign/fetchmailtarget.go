package foreign

import (
	"cmp"
	"net"
	"slices"
	"strings"
)

// convertTarget maps where mail goes. Without an MDA, fetchmail hands it to the mail server of this
// machine.
func (a *fetchmailAccount) convertTarget() {
	if o, found := a.option("bsmtp"); found {
		a.reject(o.line, "bsmtp", "popfetch writes no such files", "mda takes a program that does")
		return
	}
	names := a.names()
	many := len(names) > 1 || len(names) == 1 && (names[0] == "*" || strings.Contains(names[0], "="))
	header := a.envelopeHeader(many)
	if many && header == "" {
		a.convertGuessed()
		return
	}
	if many {
		a.convertMultidrop(names, header)
		return
	}
	local := a.env.user()
	if len(names) == 1 {
		local = names[0]
	}
	if to := a.place(local); to != nil {
		a.deliver(to)
		return
	}
	a.rejectServer(local)
}

// envelopeHeader returns the header with the recipient, or "". fetchmail reads it only if there are
// several local names.
func (a *fetchmailAccount) envelopeHeader(many bool) string {
	o, found := a.option("envelope")
	if !found || o.off {
		return ""
	}
	name := strings.TrimSuffix(o.text, ":")
	switch {
	case !many:
		a.note(o.line, "envelope", "it matters only if there are several local names", "")
	case o.n > 0:
		a.note(o.line, "envelope "+o.text, "popfetch reads the first field of a name", envelopeInstead)
	case strings.EqualFold(name, "Received") || !isFieldName(name):
		a.note(o.line, "envelope", "popfetch does not take the recipient out of Received", envelopeInstead)
	default:
		return name
	}
	return ""
}

// convertGuessed notes several local names whose mail fetchmail tells apart by guessing. An MDA that
// is not told the name gets it all the same.
func (a *fetchmailAccount) convertGuessed() {
	o, _ := a.option("is")
	why := "fetchmail guesses whose a message is by To, Cc and Received, popfetch does not"
	if mda, found := a.option("mda"); found && !strings.Contains(mda.text, "%T") {
		a.note(o.line, "several local names", why, envelopeInstead)
		a.deliver(a.place(""))
		return
	}
	a.reject(o.line, "several local names", why,
		envelopeInstead+", and [[account.NAME.route]] with recipient says whose it is")
}

// convertMultidrop maps local names to routes by the envelope recipient.
func (a *fetchmailAccount) convertMultidrop(names []string, header string) {
	a.set("envelope_header", []string{header})
	if mda, found := a.option("mda"); found && !strings.Contains(mda.text, "%T") {
		a.deliver(a.place(""))
		return
	}
	all := false
	var order []string
	recipients, known := map[string][]string{}, map[string]bool{}
	for _, name := range names {
		if name == "*" {
			all = true
			continue
		}
		remote, local, isPair := strings.Cut(name, "=")
		if !isPair {
			local = remote
		}
		glob := a.value("qvirtual") + remote
		if !strings.Contains(remote, "@") {
			glob += "@*"
		}
		if known[glob] {
			continue // the first pair counts
		}
		known[glob] = true
		if recipients[local] == nil {
			order = append(order, local)
		}
		recipients[local] = append(recipients[local], glob)
	}
	rest := a.place(a.postmaster)
	if all {
		rest = a.anyName()
	}
	unfit := func(local string) bool {
		return a.place(local) == nil || slices.ContainsFunc(recipients[local], func(glob string) bool { return !fitsGlob(glob) })
	}
	if rest == nil || slices.ContainsFunc(order, unfit) {
		a.rejectServer("")
		return
	}
	a.deliver(rest)
	for _, local := range order {
		a.route(Setting{"recipient", recipients[local]}, a.target(local, a.place(local)))
	}
	o, _ := a.option("is")
	a.note(o.line, "several local names", "fetchmail also looks whether the domain is one of the server's",
		"a pattern such as bob@* takes any domain; write bob@example.org for one")
}

// anyName returns the place of mail that goes to the local name that the recipient's address has.
func (a *fetchmailAccount) anyName() place {
	o, _ := a.option("is")
	prepare := "r=${POPFETCH_RECIPIENT%@*}; "
	if prefix := a.value("qvirtual"); prefix != "" {
		prepare += "r=${r#" + quote(prefix) + "}; "
	}
	prepare += "r=${r:-" + quote(cmp.Or(a.postmaster, "postmaster")) + "}; "
	if mda, found := a.option("mda"); found {
		return place{{"mda", prepare + splice(mda.text, map[string]string{"%F": "$POPFETCH_SENDER", "%T": "$r"})}}
	}
	key, address, _, known := a.server()
	switch {
	case !known:
		return nil
	case key == "lmtp":
		a.note(o.line, "the name *", "popfetch gives the server the whole address of the recipient", "rcpt is for one address alone")
		return place{{"lmtp", address}}
	}
	a.note(o.line, "the name *", "an mda hands mail to the name before the @, as fetchmail does; smtp would take the whole address",
		"the mda that is written here calls sendmail")
	return place{{"mda", prepare + `exec /usr/sbin/sendmail -i -f "$POPFETCH_SENDER" -- "$r"`}}
}

// place returns where mail for a local name goes, or nil if popfetch cannot deliver there.
func (a *fetchmailAccount) place(local string) place {
	if mda, found := a.option("mda"); found {
		return place{{"mda", splice(mda.text, map[string]string{"%F": "$POPFETCH_SENDER", "%T": localName(local)})}}
	}
	key, address, domain, known := a.server()
	rcpt := local
	if !strings.Contains(local, "@") {
		rcpt += "@" + domain
	}
	if name := a.value("smtpname"); name != "" {
		rcpt, local = name, name
	}
	if !known || local == "" || !fitsGlob(rcpt) {
		return nil
	}
	return place{{key, address}, {"rcpt", []string{rcpt}}}
}

// server returns the server that gets mail, as a key of popfetch and its value, and the domain of
// recipients there.
func (a *fetchmailAccount) server() (key, address, domain string, known bool) {
	o, found := a.option("smtphost")
	first := "localhost"
	if found && len(o.list) > 0 {
		first = o.list[0]
	}
	given := a.value("smtpaddress")
	if strings.HasPrefix(first, "/") {
		return "lmtp", "unix:" + first, cmp.Or(given, "localhost"), true
	}
	host, port, hasPort := strings.Cut(first, "/")
	key = "smtp"
	if _, isLMTP := a.option("lmtp"); isLMTP {
		key = "lmtp"
	}
	number, err := mailPort(cmp.Or(port, "smtp"))
	domain = cmp.Or(given, host)
	if err != nil || key == "lmtp" && !hasPort || key == "smtp" && !isThisMachine(host) {
		return "", "", "", false
	}
	return key, net.JoinHostPort(strings.Trim(host, "[]"), number), domain, true
}

// mailPort returns a port of a mail server as a number.
func mailPort(name string) (string, error) {
	if n := map[string]string{"smtp": "25", "lmtp": "24", "submission": "587"}[strings.ToLower(name)]; n != "" {
		return n, nil
	}
	return portNumber(name)
}

// isThisMachine reports whether mail for a host does not leave the machine.
func isThisMachine(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// rejectServer notes a mail server to which popfetch does not deliver.
func (a *fetchmailAccount) rejectServer(local string) {
	what, line := "no mda", a.line
	for _, name := range []string{"lmtp", "smtphost"} {
		if o, found := a.option(name); found {
			what, line = name, o.line
		}
	}
	command := `/usr/sbin/sendmail -i -f "$POPFETCH_SENDER" -- ` + cmp.Or(quote(local), "USER")
	if local == "" {
		command = `/usr/sbin/sendmail -i -f "$POPFETCH_SENDER" -- USER`
	}
	a.reject(line, what, "popfetch hands mail to an SMTP server of this machine alone, and to a recipient that it knows",
		"mda = "+inTOML(command)+" hands it to the system's mail server, and msmtp as mda to any other")
}

// noteHosts notes the hosts that fetchmail would try next.
func (a *fetchmailAccount) noteHosts() {
	if o, found := a.option("smtphost"); found && len(o.list) > 1 {
		a.note(o.line, "smtphost with several hosts", "popfetch delivers to the first one alone",
			"while it does not answer, mail stays on the POP3 server")
	}
}
