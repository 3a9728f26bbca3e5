package foreign

// fetchmailNote is what is said of an option of fetchmail that has no key of popfetch.
type fetchmailNote struct {
	why, instead string
	unless       string // an option without which it says nothing
}

// Reasons that several options have in common.
const (
	octetsAsTheyCame = "popfetch delivers the octets of a message as they came"
	noGuessing       = "it serves to find out which recipients are ours, and popfetch does not guess"
	noLogin          = "popfetch does not log in at the mail server of this machine"
)

// fetchmailNotes has the options of servers and users that have no key. All others are converted,
// or say what popfetch does in any case: uidl, ssl and the like, and the options with no before
// them.
var fetchmailNotes = map[string]fetchmailNote{
	"aka":          {why: noGuessing, instead: recipientInstead},
	"localdomains": {why: noGuessing, instead: recipientInstead},
	"fetchdomains": {why: "it is for ETRN and ODMR"},
	"checkalias":   {why: noGuessing, instead: recipientInstead},
	"qvirtual": {why: "it is a part of the addresses in the envelope header",
		instead: "the patterns of routes have it before the names"},
	"principal":     {why: "the principal is that of the ticket", instead: "kinit PRINCIPAL"},
	"esmtpname":     {why: noLogin, instead: "msmtp as mda does"},
	"esmtppassword": {why: noLogin, instead: "msmtp as mda does"},
	"antispam": {why: "popfetch deletes nothing that the mail server refuses",
		instead: "quarantine_after says when it is no longer tried"},
	"bad-header": {why: "popfetch delivers messages with any header"},
	"interface": {why: "popfetch looks at no network interfaces",
		instead: "pre_command can: if it fails, nothing is contacted"},
	"monitor": {why: "popfetch looks at no network interfaces",
		instead: "pre_command can: if it fails, nothing is contacted"},
	"plugout":     {why: "popfetch reaches the mail server without a command", instead: "msmtp as mda does"},
	"idletimeout": {why: "IDLE is a command of IMAP"},
	"idle":        {why: "IDLE is a command of IMAP", instead: `interval = "1m"`},
	"forceidle":   {why: "IDLE is a command of IMAP", instead: `interval = "1m"`},
	"folder":      {why: "a POP3 server has one maildrop, and no folders"},
	"flush": {why: "popfetch deletes only messages that it has a record of",
		instead: `delete = {after = "delivered", imported = true} also deletes what another program has delivered`},
	"fetchall": {why: "each message is fetched once, whatever its status on the server",
		instead: "popfetch --once --all fetches all of them again"},
	"rewrite":       {why: octetsAsTheyCame, instead: "filter takes a program that changes them"},
	"forcecr":       {why: octetsAsTheyCame, instead: "filter takes a program that changes them"},
	"stripcr":       {why: "popfetch ends lines with LF in any case"},
	"dropstatus":    {why: octetsAsTheyCame, instead: `filter = "formail -I Status: -I X-Mozilla-Status:"`},
	"dropdelivered": {why: octetsAsTheyCame, instead: `filter = "formail -I Delivered-To:"`},
	"mimedecode":    {why: octetsAsTheyCame, instead: "filter takes a program that decodes them"},
	"warnings": {why: "a message beyond max_size is told once",
		instead: "popfetch list and popfetch status show it"},
	"batchlimit":     {why: "popfetch connects to the mail server again by itself"},
	"fetchsizelimit": {why: "popfetch asks for the sizes of all messages at once"},
	"fastuidl":       {why: "popfetch asks for the unique-ids of all messages at once"},
	"properties":     {why: "it is for other programs"},
}

// recipientInstead is the nearest thing to names and domains of our own.
const recipientInstead = "the patterns of [[account.NAME.route]] with recipient say which addresses are ours"
