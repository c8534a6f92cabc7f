package strict

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Quote is for text that came out of a file: on one line, and not endless.
func Quote(s string) string {
	const most = 60
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return strconv.Quote(s)
}

// Have lists what there is; of much, also what given may have been meant to be.
func Have(given string, list []string) string {
	const few, most = 7, 30
	shown, more := list, ""
	if len(list) > most {
		shown, more = list[:most], fmt.Sprintf(" and %d more", len(list)-most)
	}
	all := "have " + strings.Join(shown, ", ") + more
	if near := nearest(given, list); len(list) > few && near != "" {
		return fmt.Sprintf("did you mean %s? %s", near, all)
	}
	return all
}

// nearest returns the text of list that is given but for two slips of the
// hand, or nothing.
func nearest(given string, list []string) string {
	if len(given) > 64 {
		return ""
	}
	best, least := "", 3
	for _, s := range list {
		if d := distance(strings.ToLower(given), s); d < least && d < len(s) {
			best, least = s, d
		}
	}
	return best
}

// distance is how many letters must be put in, taken out or changed to make b
// of a (Levenshtein 1965).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// OneOf returns a function for Text that takes a text of list and no other.
func OneOf(what string, list ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(list, s) {
			return "", fmt.Errorf("no %s %s; %s", what, Quote(s), Have(s, list))
		}
		return s, nil
	}
}

// AsWritten takes every text: for what is checked elsewhere.
func AsWritten(s string) (string, error) { return s, nil }

// Printable takes 1 to 100 characters that people can see.
func Printable(s string) (string, error) {
	switch n := utf8.RuneCountInString(s); {
	case n == 0 || strings.TrimSpace(s) == "":
		return "", errors.New("is empty; want 1 to 100 characters")
	case n > 100:
		return "", fmt.Errorf("has %d characters; want 1 to 100", n)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", fmt.Errorf("%s has a character that cannot be printed; want 1 to 100 printable ones on one line", Quote(s))
	}
	return s, nil
}
