//go:build !linux

package main

func schedule() {}
