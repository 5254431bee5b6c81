//go:build unix

package transport

import (
	"errors"
	"syscall"
)

// nothingArrived says whether a socket that nobody reads has neither ended nor
// got a byte.
func nothingArrived(socket syscall.RawConn) bool {
	var one [1]byte
	var failure error
	err := socket.Read(func(fd uintptr) bool {
		_, _, failure = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
		return true
	})
	return err == nil && errors.Is(failure, syscall.EAGAIN)
}
