// The recognizer's tiles given out to threads, weights laid out for them, and their sums added up.
#include "cpu/recognizer_tiles.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "cpu/isa.h"
#include "cpu/parallel.h"

namespace powqmix {

namespace {

using Floats = std::vector<float>;

// Rows are summed in so many parts at most, each by one thread: the most threads that can be used. A part
// costs a pass over all sums, which only so many tiles are worth.
constexpr int64_t kParts = 8, kTilesPerPart = 8;

int64_t padded(int64_t size, int64_t width) { return (size + width - 1) / width * width; }

// An index of the network's tensors, and where it is among padded ones: in blocks of `size`, padded to `to`.
struct Axis {
  int64_t blocks, size, to;
  int64_t count() const { return blocks * size; }
  int64_t padded_count() const { return blocks * to; }
  int64_t place(int64_t i) const { return i / size * to + i % size; }
};

// A weight [outputs, inputs] and its elements' places in panels [inputs / width][outputs][width] of the
// padded axes, or, `turned`, [outputs / width][inputs][width]: body(weight, place, run, apart) for runs of
// inputs whose places are `apart` numbers apart.
template <typename Body>
void for_runs(Axis outputs, Axis inputs, bool turned, int64_t width, const Body& body) {
  const int64_t depth = (turned ? inputs : outputs).padded_count();
  int64_t weight = 0;
  for (int64_t o = 0; o < outputs.count(); ++o) {
    const int64_t output = outputs.place(o);
    for (int64_t block = 0; block < inputs.blocks; ++block) {
      const int64_t first = block * inputs.to, end = first + inputs.size;
      if (turned) {
        body(weight, output / width * depth * width + first * width + output % width, inputs.size, width);
        weight += inputs.size;
        continue;
      }
      for (int64_t input = first; input < end;) {
        const int64_t run = std::min(end, (input / width + 1) * width) - input;
        body(weight, input / width * depth * width + output * width + input % width, run, int64_t{1});
        weight += run, input += run;
      }
    }
  }
}
Floats in_panels(const float* weight, Axis outputs, Axis inputs, bool turned, int64_t width) {
  Floats panels(static_cast<size_t>(outputs.padded_count() * inputs.padded_count()), 0.0f);
  for_runs(outputs, inputs, turned, width, [&](int64_t from, int64_t to, int64_t run, int64_t apart) {
    for (int64_t k = 0; k < run; ++k) panels[to + k * apart] = weight[from + k];
  });
  return panels;
}
void from_panels(const float* sums, Axis outputs, Axis inputs, int64_t width, float* gradient) {
  for_runs(outputs, inputs, false, width, [&](int64_t to, int64_t from, int64_t run, int64_t) {
    std::copy_n(sums + from, run, gradient + to);
  });
}

// values [rows, axis] with the axis padded, and back.
Floats spread(const float* values, int64_t rows, Axis axis) {
  Floats out(static_cast<size_t>(rows * axis.padded_count()), 0.0f);
  for (int64_t block = 0; block < rows * axis.blocks; ++block) {
    std::copy_n(values + block * axis.size, axis.size, &out[block * axis.to]);
  }
  return out;
}
void gather(const float* sums, int64_t rows, Axis axis, float* values) {
  for (int64_t block = 0; block < rows * axis.blocks; ++block) {
    std::copy_n(sums + block * axis.to, axis.size, values + block * axis.size);
  }
}

// The axes of the network.
struct Axes {
  Axes(const RecognizerShape& s, int64_t width)
      : hidden{1, s.hidden_size, padded(s.hidden_size, width)},
        hidden2{2, s.hidden_size, hidden.to},
        hidden3{3, s.hidden_size, hidden.to},
        state{1, s.state_size, padded(s.state_size, width)},
        embed{1, s.embed_size, padded(s.embed_size, width)},
        mixing{s.n_agents, s.embed_size, embed.to} {}
  Axis hidden, hidden2, hidden3, state, embed, mixing;
};

// The sums of a part, one after the other in `numbers`.
int64_t count_of_sums(const Axes& a, int64_t table) {
  const int64_t H = a.hidden.to;
  return table * 2 * H + 3 * H * (a.state.to + 1) + 3 * H * (H + 1) +
         (a.mixing.padded_count() + a.embed.to) * (H + 1) + H;
}
RecognizerSums lay_out(const Axes& a, int64_t table, float* numbers) {
  const int64_t H = a.hidden.to;
  RecognizerSums sums{};
  const auto take = [&](int64_t count) { return std::exchange(numbers, numbers + count); };
  sums.action_in = take(table * 2 * H);
  sums.state_weight = take(3 * H * a.state.to);
  sums.state_bias = take(3 * H);
  sums.hidden_weight = take(3 * H * H);
  sums.hidden_bias = take(3 * H);
  sums.w1_weight = take(a.mixing.padded_count() * H);
  sums.w1_bias = take(a.mixing.padded_count());
  sums.w2_weight = take(a.embed.to * H);
  sums.w2_bias = take(a.embed.to);
  sums.value_weight = take(H);
  return sums;
}

}  // namespace

const RecognizerTileKernels& recognizer_tile_kernels(bool bfloat16) {
#if defined(__x86_64__)
  const Isa isa = best_isa();
  if (isa >= Isa::kAvx512Bf16 && bfloat16) return avx512_bf16::kRecognizerTileKernels;
  if (isa >= Isa::kAvx512) return avx512::kRecognizerTileKernels;
  if (isa >= Isa::kAvx2) return avx2::kRecognizerTileKernels;
#endif
  return baseline::kRecognizerTileKernels;
}

void recognizer_gradient(const RecognizerShape& shape, const RecognizerTensors<const float>& parameters,
                         const RecognizerTensors<float>& gradients, const RecognizerRows& rows, bool bfloat16,
                         int threads, float* loss) {
  const RecognizerTileKernels& kernels = recognizer_tile_kernels(bfloat16);
  const int64_t width = kernels.width, table = shape.n_agents * shape.n_actions, H = shape.hidden_size;
  const Axes axes(shape, width);
  const RecognizerPanels panels{axes.hidden.to, axes.state.to, axes.embed.to, axes.mixing.padded_count(),
                                table};

  const auto packed = [&](const float* weight, Axis outputs, Axis inputs, bool turned) {
    Floats panels = in_panels(weight, outputs, inputs, turned, width);
    kernels.pack(panels.data(), static_cast<int64_t>(panels.size()));
    return panels;
  };
  const Floats action_in = spread(parameters.action_in, table, axes.hidden2),
               state_forward = packed(parameters.state_weight, axes.hidden3, axes.state, true),
               state_bias = spread(parameters.state_bias, 1, axes.hidden3),
               hidden_bias = spread(parameters.hidden_bias, 1, axes.hidden3),
               w1_forward = packed(parameters.w1_weight, axes.mixing, axes.hidden, true),
               w1_backward = packed(parameters.w1_weight, axes.mixing, axes.hidden, false),
               w1_bias = spread(parameters.w1_bias, 1, axes.mixing),
               w2_forward = packed(parameters.w2_weight, axes.embed, axes.hidden, true),
               w2_backward = packed(parameters.w2_weight, axes.embed, axes.hidden, false),
               w2_bias = spread(parameters.w2_bias, 1, axes.embed),
               value_weight = spread(parameters.value_weight, 1, axes.hidden);
  Floats hidden_forward, hidden_backward;
  for (int net = 0; net < 3; ++net) {
    const float* weight = parameters.hidden_weight + net * H * H;
    const Floats one = in_panels(weight, axes.hidden, axes.hidden, true, width),
                 other = in_panels(weight, axes.hidden, axes.hidden, false, width);
    hidden_forward.insert(hidden_forward.end(), one.begin(), one.end());
    hidden_backward.insert(hidden_backward.end(), other.begin(), other.end());
  }
  kernels.pack(hidden_forward.data(), static_cast<int64_t>(hidden_forward.size()));
  kernels.pack(hidden_backward.data(), static_cast<int64_t>(hidden_backward.size()));
  const RecognizerWeights weights{action_in.data(),      state_forward.data(),   state_bias.data(),
                                  hidden_forward.data(), hidden_backward.data(), hidden_bias.data(),
                                  w1_forward.data(),     w1_backward.data(),     w1_bias.data(),
                                  w2_forward.data(),     w2_backward.data(),     w2_bias.data(),
                                  value_weight.data(),   *parameters.value_bias};

  const int64_t tiles = (shape.rows + kernels.tile_rows - 1) / kernels.tile_rows,
                parts = std::min(kParts, (tiles + kTilesPerPart - 1) / kTilesPerPart);
  const int64_t size = count_of_sums(axes, table);
  Floats numbers(static_cast<size_t>(std::max<int64_t>(1, parts) * size), 0.0f);
  std::vector<RecognizerSums> sums;
  for (int64_t part = 0; part < std::max<int64_t>(1, parts); ++part) {
    sums.push_back(lay_out(axes, table, &numbers[part * size]));
  }
  for_chunks(threads, parts, 1, [&](int64_t part, int64_t end) {
    const std::unique_ptr<float[]> memory(new float[kernels.memory(panels)]);
    for (; part < end; ++part) {
      for (int64_t tile = part * tiles / parts; tile < (part + 1) * tiles / parts; ++tile) {
        const int64_t first = tile * kernels.tile_rows;
        kernels.tile(shape, panels, weights, rows, first,
                     std::min<int64_t>(kernels.tile_rows, shape.rows - first), memory.get(), sums[part]);
      }
    }
  });

  RecognizerSums& all = sums[0];
  for (int64_t part = 1; part < parts; ++part) {
    for (int64_t k = 0; k < size; ++k) numbers[k] += numbers[part * size + k];
    all.value_bias += sums[part].value_bias;
    all.loss += sums[part].loss;
  }
  gather(all.action_in, table, axes.hidden2, gradients.action_in);
  from_panels(all.state_weight, axes.hidden3, axes.state, width, gradients.state_weight);
  gather(all.state_bias, 1, axes.hidden3, gradients.state_bias);
  for (int net = 0; net < 3; ++net) {
    from_panels(all.hidden_weight + net * panels.hidden * panels.hidden, axes.hidden, axes.hidden, width,
                gradients.hidden_weight + net * H * H);
  }
  gather(all.hidden_bias, 1, axes.hidden3, gradients.hidden_bias);
  from_panels(all.w1_weight, axes.mixing, axes.hidden, width, gradients.w1_weight);
  gather(all.w1_bias, 1, axes.mixing, gradients.w1_bias);
  from_panels(all.w2_weight, axes.embed, axes.hidden, width, gradients.w2_weight);
  gather(all.w2_bias, 1, axes.embed, gradients.w2_bias);
  gather(all.value_weight, 1, axes.hidden, gradients.value_weight);
  *gradients.value_bias = all.value_bias;
  *loss = static_cast<float>(all.loss);
}

}  // namespace powqmix
