#ifndef CLINUX_FUSE_H
#define CLINUX_FUSE_H

/// The protocol of /dev/fuse: structures and numbers only.
#include <linux/fuse.h>
#include <stdint.h>
#include <sys/types.h>

// Every function returns what the system call returns: -1 and errno when it fails.

/// One answer, in one writev(2), as the device wants it.
ssize_t clinux_fuse_reply(int fd, uint64_t unique, int error, const void *body, size_t size);

/// A device number as the protocol has it (the kernel's new_decode_dev).
uint32_t clinux_fuse_device(unsigned major, unsigned minor);

#endif
