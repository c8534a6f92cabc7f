package payload

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Names under which messages carry secrets, in lower case and without '-' and
// '_': those of ONLIMO.
var secretNames = []string{"apikey", "apisecret"}

const redacted = `"[redacted]"`

// Redact returns message without the secrets that ONLIMO's messages carry, as it
// must be before any of it is kept or told. It returns message itself if it has
// none. It need not be JSON: what cannot be told apart from a secret goes too.
func Redact(message []byte) []byte {
	if !hidesSecret(message) {
		return message
	}
	var clean []byte
	kept := 0 // up to here message is in clean, or left out
	for i := 0; i < len(message); {
		if message[i] != '"' {
			i++
			continue
		}
		end := stringEnd(message, i)
		name := message[i:end]
		i = end
		if !isSecretName(name) {
			continue
		}
		at := skipWhiteSpace(message, i)
		if at < len(message) && message[at] != ':' {
			continue // a value, or the end of nothing we know
		}
		at = min(skipWhiteSpace(message, min(at+1, len(message))), len(message))
		clean = append(clean, message[kept:at]...)
		clean = append(clean, redacted...)
		kept = valueEnd(message, at)
		i = kept
	}
	clean = append(clean, message[kept:]...)
	// What is left of the names must be names of what was taken out just now.
	if rest := bytes.ReplaceAll(clean, []byte(redacted), nil); leaks(rest) {
		return []byte(`[a message of which nothing is kept: it is no JSON, and holds "apikey" or "apisecret"]`)
	}
	return clean
}

// hidesSecret reports whether one of the names may be in message: also with
// escapes, or as UTF-16.
func hidesSecret(message []byte) bool {
	plain := simplified(message)
	return slices.ContainsFunc(secretNames, func(name string) bool { return bytes.Contains(plain, []byte(name)) }) ||
		bytes.Contains(message, []byte(`\u`))
}

// simplified returns message in lower case, without what may stand inside a name.
func simplified(message []byte) []byte {
	plain := make([]byte, 0, len(message))
	for _, c := range message {
		if c != '-' && c != '_' && c != 0 {
			plain = append(plain, lowerByte(c))
		}
	}
	return plain
}

// leaks reports whether a name is left that is not a whole JSON string before a
// colon and nothing.
func leaks(rest []byte) bool {
	plain := simplified(rest)
	for _, name := range secretNames {
		for from := 0; ; {
			i := bytes.Index(plain[from:], []byte(name))
			if i < 0 {
				break
			}
			i += from
			from = i + len(name)
			behind := bytes.TrimLeft(plain[from:], "\"")
			behind = bytes.TrimLeft(behind, whiteSpace)
			if len(behind) == 0 || behind[0] != ':' {
				return true
			}
			behind = bytes.TrimLeft(behind[1:], whiteSpace)
			if len(behind) > 0 && !bytes.ContainsRune([]byte(",}]"), rune(behind[0])) {
				return true
			}
		}
	}
	return false
}

// isSecretName reports whether a JSON string, with its quotes, is such a name.
func isSecretName(quoted []byte) bool {
	var name string
	if json.Unmarshal(quoted, &name) != nil {
		name = strings.Trim(string(quoted), `"`)
	}
	return slices.Contains(secretNames, string(simplified([]byte(name))))
}

// stringEnd returns where the string that starts at i is over.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

func skipWhiteSpace(text []byte, i int) int {
	for i < len(text) && strings.IndexByte(whiteSpace, text[i]) >= 0 {
		i++
	}
	return i
}

// valueEnd returns where the value that starts at i is over: text may be cut off
// in it, or be no JSON.
func valueEnd(text []byte, i int) int {
	depth := 0
	for i < len(text) {
		switch text[i] {
		case '"':
			i = stringEnd(text, i)
			if depth == 0 {
				return i
			}
			continue
		case '[', '{':
			depth++
		case ']', '}':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}
