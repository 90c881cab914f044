#define _GNU_SOURCE
#include "CLinuxSourceTree.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

ssize_t clinux_list_attributes(int fd, void *names, size_t size) { return flistxattr(fd, names, size); }

ssize_t clinux_get_attribute(int fd, const char *name, void *value, size_t size) {
  return fgetxattr(fd, name, value, size);
}

unsigned clinux_device_major(dev_t device) { return major(device); }
unsigned clinux_device_minor(dev_t device) { return minor(device); }
