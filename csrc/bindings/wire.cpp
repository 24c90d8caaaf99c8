// The wire's part of powqmix._C: checksums and checks of what comes as bytes. Nothing is copied.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/bindings.h"
#include "wire/checksum.h"
#include "wire/episode_check.h"

namespace py = pybind11;

namespace powqmix {

namespace {

// The bytes of a contiguous buffer of any type, held while this lives; BufferError if it is none.
class HeldBytes {
 public:
  explicit HeldBytes(py::handle object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw py::error_already_set();
  }
  HeldBytes(HeldBytes&& other) noexcept : view_(other.view_) { other.view_.obj = nullptr; }
  HeldBytes(const HeldBytes&) = delete;
  ~HeldBytes() {
    if (view_.obj != nullptr) PyBuffer_Release(&view_);
  }
  Bytes bytes() const { return {static_cast<const uint8_t*>(view_.buf), static_cast<size_t>(view_.len)}; }

 private:
  Py_buffer view_{};
};

uint32_t checksum(const py::sequence& frames, bool portable) {
  uint32_t crc = 0;
  for (const py::handle frame : frames) {
    const HeldBytes held(frame);
    crc = (portable ? crc32_portable : crc32)(crc, held.bytes().data, held.bytes().size);
  }
  return crc;
}

// frames: one a field, or all fields as one; sizes: of the fields. Nothing of a frame is read before its size
// is known to be right.
std::string fault(const py::sequence& frames, const std::vector<size_t>& sizes, int real_bytes,
                  int index_bytes, int n_actions, bool terminated) {
  if (sizes.size() != kFieldCount) throw std::invalid_argument("sizes must be those of all fields");
  std::vector<HeldBytes> held;
  for (const py::handle frame : frames) held.emplace_back(frame);
  Bytes fields[kFieldCount];
  if (held.size() == 1) {
    Bytes whole = held[0].bytes();
    size_t wanted = 0;
    for (const size_t size : sizes) wanted += size;
    if (whole.size != wanted) return "frames";
    for (int f = 0; f < kFieldCount; ++f) {
      fields[f] = {whole.data, sizes[f]};
      whole.data += sizes[f];
    }
  } else {
    if (held.size() != kFieldCount) return "frames";
    for (int f = 0; f < kFieldCount; ++f) {
      fields[f] = held[f].bytes();
      if (fields[f].size != sizes[f]) return "size";
    }
  }
  return content_fault(fields, real_bytes, index_bytes, n_actions, terminated);
}

}  // namespace

void bind_wire(py::module_& m) {
  m.def("crc32", &checksum, py::arg("frames"), py::arg("portable") = false,
        "zlib.crc32 over the bytes of all buffers in order.");
  m.def(
      "all_finite",
      [](const py::object& buffer, int bytes) { return all_finite(HeldBytes(buffer).bytes(), bytes); },
      "Whether every float of a buffer is finite; `bytes` each, 2 or 4.");
  m.def("episode_fault", &fault,
        "Why the frames of an episode must be refused; see csrc/wire/episode_check.h.");
}

}  // namespace powqmix
