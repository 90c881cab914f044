#ifndef CLINUX_FILE_SYSTEM_H
#define CLINUX_FILE_SYSTEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Every function returns what the system call returns: -1 and errno when it fails.

/// openat2(2) with `RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS`: nothing outside `directory` can be reached, whether by
/// `..`, by an absolute path or by a symbolic link. The descriptor is close-on-exec.
int apus_open_beneath(int directory, const char *path, uint64_t flags, uint32_t mode);

int apus_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int apus_unmount(const char *target, int flags);

/// Mounts an overlay through fsconfig(2), one `lowerdir+` (Linux 6.8) per layer, top first, because the option string
/// of mount(2) holds one page only. `upper` and `work` are both NULL for a read-only overlay.
int apus_mount_overlay(const char *target, const char *const *lower, int count, const char *upper, const char *work,
                       int is_volatile);

/// setxattr(2) through /proc/self/fd, so that it also works for a descriptor opened with O_PATH.
int apus_setxattr_path(int fd, const char *name, const void *value, size_t size);
/// lgetxattr(2).
ssize_t apus_getxattr(const char *path, const char *name, void *value, size_t size);

int apus_make_device(int directory, const char *name, uint32_t mode, unsigned major, unsigned minor);

/// mkostemp(3), close-on-exec: `path` ends in XXXXXX and becomes the file's name.
int apus_create_temporary(char *path);
int apus_syncfs(int fd);
/// open(2)'s O_PATH, which the C library's Swift module leaves out.
static inline uint64_t apus_o_path(void) { return 010000000; }

#endif
