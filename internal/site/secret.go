package site

import (
	"fmt"
	"io"
	"log/slog"
)

// A Secret is a password or a token. Printed, logged or marshalled it is
// "(secret)"; string(s) is the secret itself.
type Secret string

const redacted = "(secret)"

// String returns "(secret)".
func (Secret) String() string { return redacted }

// GoString returns "(secret)".
func (Secret) GoString() string { return redacted }

// Format writes "(secret)" whatever the verb: fmt shows the bare value of a
// string under a verb it does not know.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalJSON returns "(secret)" as JSON.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalYAML returns "(secret)".
func (Secret) MarshalYAML() (any, error) { return redacted, nil }

// LogValue returns "(secret)".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format writes the server's address whatever the verb. A Site holds a pointer
// to m, which fmt follows past the methods of its fields if the verb, such as
// %s, does not fit pointers.
func (m SMTP) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%s:%d %s", m.Host, m.Port, redacted) }
