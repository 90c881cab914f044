#ifndef CLINUX_FILE_SYSTEM_H
#define CLINUX_FILE_SYSTEM_H

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Every function returns what the system call returns: -1 and errno when it fails.

/// openat2(2), close-on-exec, tried again while renames race with it.
int clinux_openat2(int directory, const char *path, uint64_t flags, uint32_t mode, uint64_t resolve);

/// The name of an entry of readdir(3): bytes, ended by a zero.
static inline const char *clinux_entry_name(const struct dirent *entry) { return entry->d_name; }

/// Takes the flags of chattr(1) off an open file or folder that keep even root from removing it.
int clinux_make_removable(int fd);

/// A mount of what `fd` is, attached nowhere (open_tree(2)), and its attachment (move_mount(2)); Linux 5.2.
int clinux_clone_mount(int fd, int is_recursive);
int clinux_attach_mount(int mount, const char *target);

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
