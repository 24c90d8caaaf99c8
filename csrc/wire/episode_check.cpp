#include "wire/episode_check.h"

#include <algorithm>
#include <cstring>

namespace powqmix {

namespace {

// An exponent of ones, and nothing else, carries into the sign's place when its lowest bit is added.
template <typename Word>
bool finite_words(const uint8_t* from, size_t count, Word exponent, Word lowest) {
  Word seen = 0;
  for (size_t i = 0; i < count; ++i) {
    Word word;
    std::memcpy(&word, from + i * sizeof(Word), sizeof(Word));
    seen = static_cast<Word>(seen | static_cast<Word>((word & exponent) + lowest));
  }
  return (seen >> (8 * sizeof(Word) - 1)) == 0;
}

int largest_action(Bytes bytes, int index_bytes) {
  int largest = -1;
  for (size_t i = 0; i < bytes.size; i += index_bytes) {
    const int action = index_bytes == 1 ? bytes.data[i] : bytes.data[i] | bytes.data[i + 1] << 8;
    largest = std::max(largest, action);
  }
  return largest;
}

}  // namespace

bool all_finite(Bytes bytes, int real_bytes) {
  if (real_bytes == 2) return finite_words<uint16_t>(bytes.data, bytes.size / 2, 0x7C00, 0x0400);
  return finite_words<uint32_t>(bytes.data, bytes.size / 4, 0x7F800000, 0x00800000);
}

const char* content_fault(const Bytes (&fields)[kFieldCount], int real_bytes, int index_bytes, int n_actions,
                          bool terminated) {
  if (!all_finite(fields[kObs], real_bytes) || !all_finite(fields[kState], real_bytes)) return "not finite";
  if (largest_action(fields[kActions], index_bytes) >= n_actions) return "action";
  if (!all_finite(fields[kReward], 4)) return "not finite";
  const Bytes end = fields[kTerminated];
  if (end.size == 0 || end.data[end.size - 1] != static_cast<uint8_t>(terminated)) return "end";
  if (std::any_of(end.data, end.data + end.size - 1, [](uint8_t flag) { return flag != 0; })) return "end";
  return "";
}

}  // namespace powqmix
