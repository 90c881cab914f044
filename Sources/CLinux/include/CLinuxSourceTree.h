#ifndef CLINUX_SOURCE_TREE_H
#define CLINUX_SOURCE_TREE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Every function returns what the system call returns: -1 and errno when it fails.

/// flistxattr(2) and fgetxattr(2).
ssize_t clinux_list_attributes(int fd, void *names, size_t size);
ssize_t clinux_get_attribute(int fd, const char *name, void *value, size_t size);

unsigned clinux_device_major(dev_t device);
unsigned clinux_device_minor(dev_t device);

#endif
