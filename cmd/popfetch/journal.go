package main

// level says how much a line matters.
type level string

// The levels. news are the first lines to be dropped while a person has stopped the terminal.
const (
	failure level = "<3>"
	caution level = "<4>"
	news    level = "<6>"
)
