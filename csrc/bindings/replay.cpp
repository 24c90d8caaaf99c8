// EpisodeDecoder in Python: stored episodes -> the arrays of a batch, on several threads, without the GIL.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/bindings.h"
#include "cpu/parallel.h"
#include "cpu/replay_decode.h"

namespace py = pybind11;

namespace powqmix {

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

constexpr int64_t kWorthThreads = 1 << 18;  // bytes: below, waking threads costs more than they save

std::string text(const std::vector<py::ssize_t>& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

// The writable data of an array of exactly this shape.
template <typename T>
T* data_of(Array<T>& array, const char* name, const std::vector<py::ssize_t>& wanted) {
  const std::vector<py::ssize_t> got(array.shape(), array.shape() + array.ndim());
  if (got != wanted) {
    throw std::invalid_argument(std::string(name) + " must be " + text(wanted) + ", got " + text(got));
  }
  return array.mutable_data();
}

class EpisodeDecoder {
 public:
  EpisodeDecoder(const ReplayLayout& layout, int threads) : layout_(layout), threads_(threads) {}

  // payload: u8 [bytes]; offsets, steps: i64 [B]. The other arrays are a batch of T = obs.shape[1] - 1 steps.
  void decode(const Array<uint8_t>& payload, const Array<int64_t>& offsets, const Array<int64_t>& steps,
              Array<float>& obs, Array<float>& state, Array<uint8_t>& avail_actions, Array<int64_t>& actions,
              Array<float>& reward, Array<uint8_t>& terminated, Array<uint8_t>& filled) {
    if (offsets.ndim() != 1 || steps.ndim() != 1 || offsets.size() != steps.size()) {
      throw std::invalid_argument("offsets and steps must both be [B]");
    }
    if (obs.ndim() != 4 || obs.shape(1) < 2)
      throw std::invalid_argument("obs must be [B, T+1, N, O] with T >= 1");
    const py::ssize_t rows = offsets.size(), length = obs.shape(1) - 1;
    const py::ssize_t agents = layout_.n_agents;
    ReplayBatch batch;
    batch.steps = length;
    batch.obs = data_of(obs, "obs", {rows, length + 1, agents, layout_.obs_size});
    batch.state = data_of(state, "state", {rows, length + 1, layout_.state_size});
    batch.avail_actions =
        data_of(avail_actions, "avail_actions", {rows, length + 1, agents, layout_.n_actions});
    batch.actions = data_of(actions, "actions", {rows, length, agents});
    batch.reward = data_of(reward, "reward", {rows, length});
    batch.terminated = data_of(terminated, "terminated", {rows, length});
    batch.filled = data_of(filled, "filled", {rows, length});
    const int64_t* from = offsets.data();
    const int64_t* count = steps.data();
    int64_t total_bytes = 0;
    for (py::ssize_t row = 0; row < rows; ++row) {
      total_bytes += layout_.nbytes(count[row]);
      if (count[row] < 1 || count[row] > length || from[row] < 0 ||
          from[row] + layout_.nbytes(count[row]) > payload.size()) {
        throw std::invalid_argument(
            "row " + std::to_string(row) + ": an episode of " + std::to_string(count[row]) +
            " steps at byte " + std::to_string(from[row]) + " fits neither " +
            std::to_string(payload.size()) + " stored bytes nor T = " + std::to_string(length));
      }
    }
    const uint8_t* bytes = payload.data();

    py::gil_scoped_release release;
    for_chunks(total_bytes < kWorthThreads ? 1 : threads_, rows, 1, [&](int64_t row, int64_t end) {
      for (; row < end; ++row) decode_episode(layout_, bytes + from[row], count[row], batch, row);
    });
  }

 private:
  ReplayLayout layout_;
  int threads_;
};

}  // namespace

void bind_replay(py::module_& m) {
  py::class_<EpisodeDecoder>(m, "EpisodeDecoder")
      .def(py::init([](int64_t n_agents, int64_t n_actions, int64_t obs_size, int64_t state_size,
                       bool half_reals, bool wide_actions, int threads) {
             if (n_agents < 1 || n_actions < 1 || obs_size < 0 || state_size < 0 || threads < 1) {
               throw std::invalid_argument("EpisodeDecoder: sizes must not be negative, threads at least 1");
             }
             const ReplayLayout layout{n_agents, n_actions, obs_size, state_size, half_reals, wide_actions};
             return new EpisodeDecoder(layout, threads);
           }),
           py::kw_only(), py::arg("n_agents"), py::arg("n_actions"), py::arg("obs_size"),
           py::arg("state_size"), py::arg("half_reals"), py::arg("wide_actions"), py::arg("threads"))
      .def("decode", &EpisodeDecoder::decode, py::arg("payload").noconvert(), py::arg("offsets").noconvert(),
           py::arg("steps").noconvert(), py::kw_only(), py::arg("obs").noconvert(),
           py::arg("state").noconvert(), py::arg("avail_actions").noconvert(), py::arg("actions").noconvert(),
           py::arg("reward").noconvert(), py::arg("terminated").noconvert(), py::arg("filled").noconvert());

  m.def(
      "half_to_float",
      [](const Array<uint16_t>& halves, bool portable) {
        Array<float> floats(std::vector<py::ssize_t>(halves.shape(), halves.shape() + halves.ndim()));
        half_to_float(reinterpret_cast<const uint8_t*>(halves.data()), floats.mutable_data(), halves.size(),
                      portable);
        return floats;
      },
      py::arg("halves").noconvert(), py::arg("portable") = false,
      "float16 bits (u16) as float32; `portable` leaves the machine's conversion instructions aside.");
}

}  // namespace powqmix
