package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// storage is the op.Storage of the provider. Its methods may be called concurrently.
type storage struct {
	life time.Duration // of access tokens
	key  *rsa.PrivateKey

	mu      sync.Mutex
	asked   map[string]*question // by their id
	codes   map[string]string    // ids of questions, by authorization code
	devices map[string]*device   // by device code
	access  map[string]access    // by the id in the token
	refresh map[string]*grant    // by the token, used ones too
}

var errUnknown = errors.New("unknown or used up")

func newStorage(life time.Duration) (*storage, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("making the key for signatures: %w", err)
	}
	return &storage{
		life: life, key: key,
		asked: make(map[string]*question), codes: make(map[string]string), devices: make(map[string]*device),
		access: make(map[string]access), refresh: make(map[string]*grant),
	}, nil
}

// question is an op.AuthRequest: a browser's question for an authorization code. It is never
// changed; an answered one takes its place.
type question struct {
	*oidc.AuthRequest
	id   string
	user string // who has signed in, or ""
	at   time.Time
}

func (q *question) GetID() string                      { return q.id }
func (q *question) GetACR() string                     { return "" }
func (q *question) GetAMR() []string                   { return []string{"pwd"} }
func (q *question) GetAudience() []string              { return audience(q.ClientID, q.Scopes) }
func (q *question) GetAuthTime() time.Time             { return q.at }
func (q *question) GetClientID() string                { return q.ClientID }
func (q *question) GetNonce() string                   { return q.Nonce }
func (q *question) GetScopes() []string                { return q.Scopes }
func (q *question) GetSubject() string                 { return q.user }
func (q *question) Done() bool                         { return q.user != "" }
func (q *question) GetResponseMode() oidc.ResponseMode { return q.ResponseMode }

func (q *question) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: q.CodeChallenge, Method: q.CodeChallengeMethod}
}

// CreateAuthRequest implements op.AuthStorage. It refuses a client that does not use PKCE with S256,
// although zitadel would take the method plain.
func (s *storage) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if r.CodeChallenge == "" || r.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("a code_challenge by the method S256 is required")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &question{AuthRequest: r, id: rand.Text()}
	s.asked[q.id] = q
	return q, nil
}

// answer says who has signed in.
func (s *storage) answer(id, user string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok := s.asked[id]
	if !ok || q.Done() {
		return errUnknown
	}
	s.asked[id] = &question{AuthRequest: q.AuthRequest, id: id, user: user, at: time.Now()}
	return nil
}

func (s *storage) question(id string) (*question, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q, ok := s.asked[id]; ok {
		return q, nil
	}
	return nil, errUnknown
}

func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	return s.question(id)
}

func (s *storage) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	id := s.codes[code]
	s.mu.Unlock()
	return s.question(id)
}

func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

// DeleteAuthRequest implements op.AuthStorage. A code thereby serves once.
func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asked, id)
	return nil
}

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if c, ok := clients[id]; ok {
		return c, nil
	}
	return nil, oidc.ErrInvalidClient().WithParent(errNoClient)
}

func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	return authorize(id, secret)
}

// signingKey is an op.SigningKey, and with public an op.Key.
type signingKey struct {
	key    *rsa.PrivateKey
	public bool
}

func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k signingKey) Algorithm() jose.SignatureAlgorithm          { return jose.RS256 }
func (k signingKey) Use() string                                 { return "sig" }
func (k signingKey) ID() string                                  { return "key" }

func (k signingKey) Key() any {
	if k.public {
		return &k.key.PublicKey
	}
	return k.key
}

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) {
	return signingKey{key: s.key}, nil
}

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{signingKey{key: s.key, public: true}}, nil
}

func (s *storage) Health(context.Context) error { return nil }

// Nobody here signs in by a signed JWT.

func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errNoClient
}

func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, oidc.ErrInvalidScope()
}
