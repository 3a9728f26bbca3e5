package foreign

// fetchmailNote is what is said of an option of fetchmail that has no key of popfetch.
type fetchmailNote struct {
	why, instead string
	unless       string // an option without which it says nothing
}

// Reasons that several options have in common.
const (
	octetsAsTheyCame = "popfetch delivers the octets of a message as they came"
	noSorting        = "it serves to find the recipient, and popfetch does not sort by recipient"
	noSMTP           = "popfetch does not speak SMTP"
)

// fetchmailNotes has the options of servers and users that have no key. All others are converted,
// or say what popfetch does in any case: uidl, ssl and the like, and the options with no before
// them.
var fetchmailNotes = map[string]fetchmailNote{
	"aka":           {why: noSorting, instead: mdaSorts},
	"localdomains":  {why: noSorting, instead: mdaSorts},
	"envelope":      {why: noSorting, instead: mdaSorts},
	"qvirtual":      {why: noSorting, instead: mdaSorts},
	"fetchdomains":  {why: noSorting, instead: mdaSorts},
	"checkalias":    {why: noSorting, instead: mdaSorts},
	"principal":     {why: "the principal is that of the ticket", instead: "kinit PRINCIPAL"},
	"esmtpname":     {why: noSMTP},
	"esmtppassword": {why: noSMTP},
	"smtpaddress":   {why: noSMTP},
	"smtpname":      {why: noSMTP},
	"antispam":      {why: noSMTP},
	"pass8bits":     {why: noSMTP},
	"tracepolls": {why: octetsAsTheyCame,
		instead: "an mda finds the account's name in POPFETCH_ACCOUNT"},
	"bad-header": {why: "popfetch delivers messages with any header"},
	"interface": {why: "popfetch looks at no network interfaces",
		instead: "let the timer or the script that starts it look"},
	"monitor": {why: "popfetch looks at no network interfaces",
		instead: "let the timer or the script that starts it look"},
	"plugout":     {why: noSMTP},
	"idletimeout": {why: "IDLE is a command of IMAP"},
	"idle":        {why: "IDLE is a command of IMAP", instead: `interval = "1m"`},
	"forceidle":   {why: "IDLE is a command of IMAP", instead: `interval = "1m"`},
	"folder":      {why: "a POP3 server has one maildrop, and no folders"},
	"preconnect": {why: "popfetch runs no command before it connects",
		instead: `connect_command takes the place of a tunnel: "ssh gate.example.org nc SERVER 110"; ` +
			"for other commands, start popfetch by a script"},
	"postconnect": {why: "popfetch runs no command after it has fetched",
		instead: "start popfetch by a script"},
	"flush": {why: "popfetch deletes only messages that it has a record of",
		instead: `delete = "delivered" deletes each message once it is delivered`},
	"limitflush": {why: "popfetch never deletes a message that it has not delivered",
		instead: "max_size leaves larger messages on the server"},
	"fetchall": {why: "each message is fetched once, whatever its status on the server",
		instead: "popfetch --once --all fetches all of them again"},
	"rewrite":       {why: octetsAsTheyCame},
	"forcecr":       {why: octetsAsTheyCame},
	"stripcr":       {why: "popfetch ends lines with LF in any case"},
	"dropstatus":    {why: octetsAsTheyCame},
	"dropdelivered": {why: octetsAsTheyCame},
	"mimedecode":    {why: octetsAsTheyCame},
	"warnings":      {why: "a message beyond max_size is told once"},
	"fetchlimit": {why: "popfetch does not limit how many messages a run fetches",
		instead: `deadline = "10m" limits how long a run takes`},
	"batchlimit":     {why: noSMTP},
	"fetchsizelimit": {why: "popfetch asks for the sizes of all messages at once"},
	"fastuidl":       {why: "popfetch asks for the unique-ids of all messages at once"},
	"expunge": {why: "popfetch deletes at the end of a session",
		instead: "what is recorded as delivered is never fetched again, even if a session breaks"},
	"properties": {why: "it is for other programs"},
}
