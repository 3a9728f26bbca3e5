package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"
)

// device is a device that waits for a person's decision (RFC 8628).
type device struct {
	userCode string
	state    op.DeviceAuthorizationState
}

// StoreDeviceAuthorization implements op.DeviceAuthorizationStorage. It drops scopes that the
// provider does not know, as zitadel does for browsers.
func (s *storage) StoreDeviceAuthorization(
	_ context.Context, client, deviceCode, userCode string, expires time.Time, asked []string,
) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byUserCode(userCode) != nil {
		return op.ErrDuplicateUserCode
	}
	unknown := func(scope string) bool { return !slices.Contains(scopes, scope) }
	granted := slices.DeleteFunc(slices.Clone(asked), unknown)
	s.devices[deviceCode] = &device{userCode: userCode, state: op.DeviceAuthorizationState{
		ClientID: client, Audience: audience(client, granted), Scopes: granted, Expires: expires,
	}}
	return nil
}

// GetDeviceAuthorizatonState implements op.DeviceAuthorizationStorage. It returns a decision only
// once, so a device code serves once.
func (s *storage) GetDeviceAuthorizatonState(
	_ context.Context, client, deviceCode string,
) (*op.DeviceAuthorizationState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.devices[deviceCode]
	if !ok || d.state.ClientID != client {
		return nil, errUnknown
	}
	if d.state.Done || d.state.Denied {
		delete(s.devices, deviceCode)
	}
	state := d.state
	return &state, nil
}

// decide lets the device have tokens of the user. With user "" it denies that.
func (s *storage) decide(userCode, user string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.byUserCode(userCode)
	if d == nil || d.state.Done || d.state.Denied {
		return errUnknown
	}
	d.state.Subject, d.state.AuthTime, d.state.AMR = user, time.Now(), []string{"pwd"}
	d.state.Done, d.state.Denied = user != "", user == ""
	return nil
}

// byUserCode returns nil if there is no such device. Upper and lower case, and dashes, do not matter
// to a person.
func (s *storage) byUserCode(code string) *device {
	plain := func(code string) string { return strings.ReplaceAll(strings.ToUpper(code), "-", "") }
	for _, d := range s.devices {
		if plain(d.userCode) == plain(code) {
			return d
		}
	}
	return nil
}
