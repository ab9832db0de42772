package cli

import (
	"errors"
	"strings"
	"testing"
)

func TestIntList(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "1,2,8": "1,2,8", "1-4": "1,2,3,4", "64-256+64": "64,128,192,256", "1-64*2": "1,2,4,8,16,32,64", "3-3": "3", "5,1-2": "5,1,2",
	} {
		l := &intList{values: []int{7}}
		if err := l.Set(text); err != nil || l.String() != want {
			t.Errorf("%s: %s, %v", text, l, err)
		}
		if err := l.Set("9"); err != nil || l.String() != want+",9" {
			t.Errorf("%s and 9: %s, %v", text, l, err)
		}
	}
	for _, text := range []string{"", "a", "1,", ",1", "-1", "4-1", "1-", "1+2", "1*2", "1-4+0", "1-4*1", "0-4*2", "1-4+", "1-4/2", "1 2"} {
		l := &intList{values: []int{7}}
		if err := l.Set(text); !errors.Is(err, errNumbers) || l.String() != "7" {
			t.Errorf("%q: %s, %v", text, l, err)
		}
	}
	if err := new(intList).Set("1-1000000"); err == nil || !strings.Contains(err.Error(), "1000") {
		t.Errorf("a million numbers: %v", err)
	}
}
