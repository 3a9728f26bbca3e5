package deliver

import "testing"

// Processes that take turns with an account see the names that the others have added.
func TestNameList_twoProcesses(t *testing.T) {
	path := below(t, "notes")
	here := &nameList{book: NewFileBook(path), name: "prepared"}
	there := &nameList{book: NewFileBook(path), name: "prepared"}
	for i, step := range []struct {
		adds, looks *nameList
		name        string
	}{{there, here, "one"}, {here, there, "two"}, {there, here, "three"}} {
		if found, err := step.looks.has(step.name); err != nil || found {
			t.Fatalf("has(%s) = %t, %v, want false: nobody has added it", step.name, found, err)
		}
		if err := step.adds.add(step.name); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"one", "two", "three"}[:i+1] {
			if found, err := step.looks.has(name); err != nil || !found {
				t.Errorf("after %s was added, has(%s) = %t, %v, want true", step.name, name, found, err)
			}
		}
	}
}
