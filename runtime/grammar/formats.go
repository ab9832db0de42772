package grammar

// Parts of formats.
const (
	year       = `[1-9][0-9]{3}` // the years that every date library takes
	leapYear   = `(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)`
	date       = `(?:` + year + `-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|` + leapYear + `-02-29)`
	timeOfDay  = `(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])`
	amount     = `[0-9]{1,9}`
	hours      = `(?:` + amount + `H(?:` + amount + `M(?:` + amount + `S)?)?|` + amount + `M(?:` + amount + `S)?|` + amount + `S)`
	days       = `(?:` + amount + `Y(?:` + amount + `M(?:` + amount + `D)?)?|` + amount + `M(?:` + amount + `D)?|` + amount + `D)`
	byteNumber = `(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])`
	ipv4       = `(?:` + byteNumber + `\.){3}` + byteNumber
	group      = `[0-9a-fA-F]{1,4}`
	lastGroups = `(?:` + group + `:` + group + `|` + ipv4 + `)`
	ipv6       = `(?:(?:` + group + `:){6}` + lastGroups +
		`|::(?:` + group + `:){5}` + lastGroups +
		`|(?:` + group + `)?::(?:` + group + `:){4}` + lastGroups +
		`|(?:(?:` + group + `:){0,1}` + group + `)?::(?:` + group + `:){3}` + lastGroups +
		`|(?:(?:` + group + `:){0,2}` + group + `)?::(?:` + group + `:){2}` + lastGroups +
		`|(?:(?:` + group + `:){0,3}` + group + `)?::` + group + `:` + lastGroups +
		`|(?:(?:` + group + `:){0,4}` + group + `)?::` + lastGroups +
		`|(?:(?:` + group + `:){0,5}` + group + `)?::` + group +
		`|(?:(?:` + group + `:){0,6}` + group + `)?::)`
	label     = `[0-9A-Za-z](?:-?[0-9A-Za-z]){0,14}` // at most 29 characters, and no two hyphens: those are for IDNA
	hostname  = label + `(?:\.` + label + `){0,7}`   // at most 239 characters of 253
	atom      = "[0-9A-Za-z!#$%&'*+/=?^_`{|}~-]{1,20}"
	email     = atom + `(?:\.` + atom + `){0,2}@(?:` + label + `\.){1,6}[A-Za-z]{2,20}`
	uriChar   = `(?:[0-9A-Za-z._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})`
	uriHost   = `(?:(?:[0-9A-Za-z._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*|\[` + ipv6 + `\])`
	authority = uriHost + `(?::[0-9]{0,5})?`
	uri       = `[A-Za-z][0-9A-Za-z+.-]{0,30}:(?://` + authority + `(?:/` + uriChar + `*)*|/?(?:` + uriChar + `+(?:/` + uriChar + `*)*)?)` +
		`(?:\?(?:` + uriChar + `|[/?])*)?(?:#(?:` + uriChar + `|[/?])*)?`
)

// formats are regular expressions of the strings of each supported format: RFC 3339 dates, times and durations,
// RFC 4122, 1123, 5321, 2673, 4291, 3986. They leave out what validators disagree on: years before 1000, leap seconds, quoted
// parts of addresses, user names in URIs.
var formats = map[string]string{
	"date":      date,
	"time":      timeOfDay,
	"date-time": date + `T` + timeOfDay,
	"duration":  `P(?:` + days + `(?:T` + hours + `)?|T` + hours + `|` + amount + `W)`,
	"uuid":      `[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`,
	"email":     email,
	"ipv4":      ipv4,
	"ipv6":      ipv6,
	"hostname":  hostname,
	"uri":       uri,
}
