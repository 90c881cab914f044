#include "CLinuxFuse.h"

#include <sys/uio.h>

ssize_t clinux_fuse_reply(int fd, uint64_t unique, int error, const void *body, size_t size) {
  struct fuse_out_header header = {.len = (uint32_t)(sizeof header + size), .error = -error, .unique = unique};
  struct iovec parts[2] = {
      {.iov_base = &header, .iov_len = sizeof header},
      {.iov_base = (void *)body, .iov_len = size},
  };
  return writev(fd, parts, 2);
}

uint32_t clinux_fuse_device(unsigned major, unsigned minor) {
  return (minor & 0xff) | (major << 8) | ((minor & ~0xffu) << 12);
}
