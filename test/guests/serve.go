package main

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
)

// serve echoes what each connection sends, all of them at once, until one sends
// "quit".
func serve([]string) error {
	fds := strings.Split(os.Getenv("AGENTOS_LISTEN_FDS"), ",")
	fd, err := strconv.Atoi(fds[0])
	if err != nil {
		return err
	}
	l, err := net.FileListener(os.NewFile(uintptr(fd), "listener"))
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	for {
		type accepted struct {
			c   net.Conn
			err error
		}
		next := make(chan accepted, 1)
		go func() {
			c, err := l.Accept()
			next <- accepted{c, err}
		}()
		select {
		case in := <-next:
			if in.err != nil {
				return in.err
			}
			go echo(in.c, done)
		case err := <-done:
			return err
		}
	}
}

func echo(c net.Conn, done chan<- error) {
	defer func() { _ = c.Close() }()
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if n > 0 {
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
		if strings.HasSuffix(string(buf[:n]), "quit") {
			if t, ok := c.(*net.TCPConn); ok && t.CloseWrite() != nil {
				done <- errors.New("shutdown failed")
				return
			}
			done <- nil
			return
		}
		if errors.Is(err, io.EOF) || err != nil {
			return
		}
	}
}
