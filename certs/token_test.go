package certs

import (
	"fmt"
	"strings"
	"testing"
)

func TestTokenSaysWhoTheProviderIs(t *testing.T) {
	ca := newCA(t, InitOptions{})
	token := newToken(ca.roots[0])
	text := token.Text()
	for _, spelling := range []string{text, strings.ToUpper(text), "  " + text + "\r\n"} {
		got, err := ParseToken(spelling)
		if err != nil || got != token {
			t.Errorf("%q became %v, %v", spelling, got.ID, err)
		}
	}
	if token.root != rootHash(ca.roots[0]) || checkInvitationID(token.ID) != nil {
		t.Errorf("id %q, root %x", token.ID, token.root)
	}
	if other := newToken(ca.roots[0]); other.secret == token.secret || other.ID == token.ID {
		t.Error("two tokens are one")
	}
	if shown, want := fmt.Sprintf("%v %+v %s %#v", token, token, token, token), strings.TrimSpace(strings.Repeat("amb1."+token.ID+"… ", 4)); shown != want {
		t.Errorf("shown as %s, want %s", shown, want)
	}
}

// Every single mistake is told, and what is told is not the token.
func TestMistypedTokens(t *testing.T) {
	text := newToken(newCA(t, InitOptions{}).roots[0]).Text()
	mistakes := map[string]string{
		"empty": "", "another prefix": "amb2." + text[5:], "cut off": text[:len(text)-1], "too long": text + "a",
		"a line break": text[:40] + "\n" + text[41:], "no letter of ours": text[:40] + "1" + text[41:],
	}
	for i := len(tokenPrefix); i < len(text); i++ {
		wrong := byte('a')
		if text[i] == wrong {
			wrong = 'b'
		}
		mistakes[fmt.Sprintf("letter %d", i)] = text[:i] + string(wrong) + text[i+1:]
		if i+1 < len(text) && text[i] != text[i+1] {
			mistakes[fmt.Sprintf("letters %d and %d swapped", i, i+1)] = text[:i] + text[i+1:i+2] + text[i:i+1] + text[i+2:]
		}
	}
	for name, mistake := range mistakes {
		_, err := ParseToken(mistake)
		wantIs(t, err, ErrToken)
		if err != nil && len(mistake) > 20 && strings.Contains(err.Error(), mistake[10:20]) {
			t.Errorf("%s: %v tells the token", name, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("amb1.")
	f.Add(Token{ID: "abcdefgh"}.Text())
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err == nil && token.Text() != strings.ToLower(strings.TrimSpace(text)) {
			t.Errorf("%q is read as %q", text, token.Text())
		}
	})
}
