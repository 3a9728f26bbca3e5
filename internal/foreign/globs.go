package foreign

import (
	"regexp/syntax"
	"slices"
	"strings"
)

// mostGlobs is how many patterns one regular expression may become.
const mostGlobs = 32

// globsOf returns the patterns of popfetch that match what a regular expression finds, without
// regard to case: * is any text, and ? one character. Together they match exactly the same text. It
// reports false if there are no such patterns.
func globsOf(expression string) (globs []string, exact bool) {
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, false
	}
	parts, exact := flat(tree)
	if !exact {
		return nil, false
	}
	for _, part := range parts {
		glob := part.text
		if !part.begins {
			glob = "*" + glob
		}
		if !part.ends {
			glob += "*"
		}
		for strings.Contains(glob, "**") {
			glob = strings.ReplaceAll(glob, "**", "*")
		}
		if !fitsGlob(glob) {
			return nil, false
		}
		if !slices.Contains(globs, glob) {
			globs = append(globs, glob)
		}
	}
	return globs, len(globs) > 0
}

// fitsGlob reports whether popfetch takes a glob as the recipient of a route.
func fitsGlob(glob string) bool {
	const most = 254 // octets of an address
	bad := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' || r == '>' }
	return glob != "" && len(glob) <= most && !strings.ContainsFunc(glob, bad)
}

// globPart is a pattern for a part of the text, and whether the text begins or ends there.
type globPart struct {
	text         string
	begins, ends bool
}

// flat returns the patterns that a part of a regular expression becomes. One of them matches.
func flat(tree *syntax.Regexp) (parts []globPart, exact bool) {
	switch tree.Op {
	case syntax.OpEmptyMatch:
		return []globPart{{}}, true
	case syntax.OpBeginText:
		return []globPart{{begins: true}}, true
	case syntax.OpEndText:
		return []globPart{{ends: true}}, true
	case syntax.OpLiteral:
		text := string(tree.Rune)
		return []globPart{{text: text}}, !strings.ContainsAny(text, "*?")
	case syntax.OpAnyCharNotNL:
		return []globPart{{text: "?"}}, true
	case syntax.OpStar, syntax.OpPlus:
		return []globPart{{text: map[syntax.Op]string{syntax.OpStar: "*", syntax.OpPlus: "?*"}[tree.Op]}},
			tree.Sub[0].Op == syntax.OpAnyCharNotNL
	case syntax.OpQuest:
		parts, exact = flat(tree.Sub[0])
		return append(parts, globPart{}), exact
	case syntax.OpCapture:
		return flat(tree.Sub[0])
	case syntax.OpCharClass:
		return flatClass(tree.Rune)
	case syntax.OpAlternate:
		for _, each := range tree.Sub {
			more, exact := flat(each)
			if parts = append(parts, more...); !exact || len(parts) > mostGlobs {
				return nil, false
			}
		}
		return parts, true
	case syntax.OpConcat:
		return flatConcat(tree.Sub)
	}
	return nil, false
}

// flatClass returns a pattern for each character of a class. The class is pairs of the first and
// the last one.
func flatClass(pairs []rune) (parts []globPart, exact bool) {
	for i := 0; i+1 < len(pairs); i += 2 {
		for r := pairs[i]; r <= pairs[i+1]; r++ {
			if len(parts) == mostGlobs || r == '*' || r == '?' {
				return nil, false
			}
			parts = append(parts, globPart{text: string(r)})
		}
	}
	return parts, true
}

// flatConcat returns the patterns for parts that follow each other.
func flatConcat(trees []*syntax.Regexp) (parts []globPart, exact bool) {
	parts = []globPart{{}}
	for _, tree := range trees {
		next, exact := flat(tree)
		if !exact || len(parts)*len(next) > mostGlobs {
			return nil, false
		}
		var longer []globPart
		for _, a := range parts {
			for _, b := range next {
				if a.ends && b.text != "" || b.begins && a.text != "" {
					return nil, false // an anchor within the text
				}
				longer = append(longer, globPart{a.text + b.text, a.begins || b.begins, a.ends || b.ends})
			}
		}
		parts = longer
	}
	return parts, true
}
