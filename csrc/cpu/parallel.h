// Work shared out in chunks among the threads of one pool, which kernels, environments and the replay of a
// process use.
//
// Threads take the next chunk when they are done with one, and the caller takes part and never waits for a
// thread that has not begun: where the cores are busy with something else (a library's own threads, waiting
// actively for their next product), a call takes what it would have taken alone.
#pragma once

#include <cstdint>
#include <functional>

namespace powqmix {

// Calls body(begin, end) for disjoint ranges of at most `chunk` that cover [0, size), on up to `threads`
// threads, the caller among them; returns when all are done, and then throws the first of what chunks threw,
// of which none keeps another from its turn. Any number of callers at a time.
void for_chunks(int threads, int64_t size, int64_t chunk, const std::function<void(int64_t, int64_t)>& body);

// The size of `count` chunks that cover [0, size).
inline int64_t equal_chunk(int64_t size, int count) { return size > 0 ? (size + count - 1) / count : 1; }

}  // namespace powqmix
