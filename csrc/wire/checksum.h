// CRC-32 as zlib computes it, at the rate at which memory is read.
#pragma once

#include <cstddef>
#include <cstdint>

namespace powqmix {

// The checksum of what `crc` is the checksum of (0: nothing) followed by `size` bytes.
uint32_t crc32(uint32_t crc, const uint8_t* data, size_t size);

// The same without the processor's carry-less multiplication.
uint32_t crc32_portable(uint32_t crc, const uint8_t* data, size_t size);

}  // namespace powqmix
