package login_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
)

// A session without expectations asks for the capabilities first.
func ExampleCredentials_Login() {
	ctx := context.Background()
	c, err := pop3.Dial(ctx, "pop.example.org:995", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	var refused *pop3.ReplyError
	if _, err := c.Capa(ctx); err != nil && !errors.As(err, &refused) {
		log.Fatal(err)
	}
	credentials := &login.Credentials{
		User:     "mrose",
		Password: func(context.Context) (string, error) { return "tanstaaf", nil },
	}
	var failed *login.Error
	switch err := credentials.Login(ctx, c, nil); {
	case errors.As(err, &failed) && failed.Fault == login.Refused:
		fmt.Println("the password is wrong:", err)
	case err != nil:
		fmt.Println(err)
	}
}
