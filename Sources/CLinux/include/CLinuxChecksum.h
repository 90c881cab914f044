#ifndef CLINUX_CHECKSUM_H
#define CLINUX_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the processor's instruction where it has one. `crc` is 0 for the first
/// bytes, and the result for the bytes before otherwise.
uint32_t clinux_crc32c(uint32_t crc, const void *bytes, size_t count);

/// The same without the instruction.
uint32_t clinux_crc32c_portable(uint32_t crc, const void *bytes, size_t count);

#endif
