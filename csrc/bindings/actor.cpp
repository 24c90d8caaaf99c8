// The actor's half of powqmix._C: Policy, Recorder and Rollout over numpy arrays.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>

#include "actor/rollout.h"
#include "actor/sleeping_env.h"
#include "bindings/bindings.h"
#include "envs/batched_env.h"

namespace py = pybind11;

namespace powqmix {

namespace {

using Sizes = std::vector<py::ssize_t>;
template <typename T>
using Array = py::array_t<T, py::array::c_style>;

std::string text(const Sizes& sizes) {
  std::string out = "[";
  for (size_t i = 0; i < sizes.size(); ++i) out += (i ? ", " : "") + std::to_string(sizes[i]);
  return out + "]";
}

// The data of `array` if it has this dtype and shape, C-contiguous; std::invalid_argument names it otherwise.
template <typename T>
T* data_of(const char* name, const py::array& array, const Sizes& shape) {
  const Sizes got(array.shape(), array.shape() + array.ndim());
  if (!py::isinstance<Array<T>>(array) || got != shape) {
    throw std::invalid_argument(std::string(name) + " must be C-contiguous " +
                                py::str(py::dtype::of<T>()).cast<std::string>() + " " + text(shape) +
                                ", got " + py::str(array.dtype()).cast<std::string>() + " " + text(got));
  }
  return static_cast<T*>(const_cast<void*>(array.data()));
}

// A native environment: no Python between steps.
class NativePort : public EnvPort {
 public:
  explicit NativePort(std::shared_ptr<BatchedEnv> env) : env_(std::move(env)) {
    num_envs = env_->num_envs();
    obs = env_->obs.data();
    state = env_->state.data();
    avail_actions = env_->avail_actions.data();
    reward = env_->reward.data();
    terminated = env_->terminated.data();
    truncated = env_->truncated.data();
    battle_won = env_->battle_won.data();
    final_obs = env_->final_obs.data();
    final_state = env_->final_state.data();
    final_avail_actions = env_->final_avail_actions.data();
  }
  void reset() override { env_->reset(); }
  void step(const int32_t* actions) override { env_->step(actions); }

 private:
  std::shared_ptr<BatchedEnv> env_;
};

// Any object of the BatchedEnv protocol; its arrays are taken once, as the protocol writes them in place.
class PythonPort : public EnvPort {
 public:
  PythonPort(py::object env, const EpisodeLayout& layout) : env_(std::move(env)), n_agents_(layout.n_agents) {
    const py::ssize_t N = layout.n_agents, A = layout.n_actions, O = layout.obs_size, S = layout.state_size;
    const py::ssize_t E = py::len(env_.attr("obs"));
    num_envs = static_cast<int>(E);
    obs = take<float>("obs", {E, N, O});
    state = take<float>("state", {E, S});
    avail_actions = take<uint8_t>("avail_actions", {E, N, A});
    reward = take<float>("reward", {E});
    terminated = take<uint8_t>("terminated", {E});
    truncated = take<uint8_t>("truncated", {E});
    battle_won = take<uint8_t>("battle_won", {E});
    final_obs = take<float>("final_obs", {E, N, O});
    final_state = take<float>("final_state", {E, S});
    final_avail_actions = take<uint8_t>("final_avail_actions", {E, N, A});
  }
  void reset() override {
    py::gil_scoped_acquire gil;
    env_.attr("reset")();
  }
  void step(const int32_t* actions) override {
    py::gil_scoped_acquire gil;
    env_.attr("step")(py::array_t<int32_t>({num_envs, n_agents_}, actions));
  }

 private:
  template <typename T>
  const T* take(const char* name, const Sizes& shape) {
    arrays_.push_back(env_.attr(name));
    const std::string full = std::string("the environment's ") + name;
    return data_of<T>(full.c_str(), arrays_.back(), shape);
  }
  py::object env_;
  int n_agents_;
  std::vector<py::array> arrays_;
};

std::unique_ptr<EnvPort> port_of(const py::object& env, const EpisodeLayout& layout) {
  if (py::isinstance<SleepingEnvOptions>(env)) {
    return std::make_unique<SleepingEnv>(env.cast<SleepingEnvOptions>(), layout);
  }
  if (!py::isinstance<BatchedEnv>(env)) return std::make_unique<PythonPort>(env, layout);
  auto native = env.cast<std::shared_ptr<BatchedEnv>>();
  const EnvSpec& spec = native->spec();
  const std::tuple<const char*, int, int> sizes[] = {{"n_agents", spec.n_agents, layout.n_agents},
                                                     {"n_actions", spec.n_actions, layout.n_actions},
                                                     {"obs_size", spec.obs_size, layout.obs_size},
                                                     {"state_size", spec.state_size, layout.state_size}};
  for (const auto& [name, got, wanted] : sizes) {
    if (got != wanted) {
      throw std::invalid_argument(spec.id + ": " + name + " is " + std::to_string(got) +
                                  ", the episode schema has " + std::to_string(wanted));
    }
  }
  return std::make_unique<NativePort>(std::move(native));
}

// The frames of an episode: arrays that view its buffer and keep it from the pool while one of them lives.
py::list frames_of(const FinishedEpisode& episode, const EpisodeLayout& layout) {
  auto* kept = new std::shared_ptr<EpisodeBuffer>(episode.buffer);
  const py::capsule owner(kept, [](void* p) { delete static_cast<std::shared_ptr<EpisodeBuffer>*>(p); });
  const py::ssize_t N = layout.n_agents, T = episode.steps;
  const py::dtype real(layout.real_bytes == 2 ? "<f2" : "<f4"), byte("u1"),
      index(layout.index_bytes == 1 ? "u1" : "<u2");
  const std::tuple<py::dtype, Sizes> fields[kFieldCount] = {{real, {T + 1, N, layout.obs_size}},
                                                            {real, {T + 1, layout.state_size}},
                                                            {byte, {T + 1, N, layout.avail_bytes()}},
                                                            {index, {T, N}},
                                                            {py::dtype("<f4"), {T}},
                                                            {byte, {T}}};
  py::list frames;
  for (int f = 0; f < kFieldCount; ++f) {
    const auto& [dtype, shape] = fields[f];
    frames.append(py::array(dtype, shape, Sizes{}, episode.buffer->field[f], owner));
  }
  return frames;
}

struct EpisodeView {  // an episode with the layout that reads it
  FinishedEpisode episode;
  EpisodeLayout layout;
};

std::vector<EpisodeView> views(std::vector<FinishedEpisode> episodes, const EpisodeLayout& layout) {
  std::vector<EpisodeView> out;
  for (auto& episode : episodes) out.push_back({std::move(episode), layout});
  return out;
}

// Rollout and the layout it records in.
struct BoundRollout {
  BoundRollout(const py::object& env, const PolicyShape& shape, const EpisodeLayout& layout, uint64_t seed,
               uint64_t first_env, const std::string& isa)
      : layout(layout), rollout(port_of(env, layout), shape, layout, seed, first_env, isa) {}
  EpisodeLayout layout;
  Rollout rollout;
};

void set_parameters(Policy& policy, const py::array& flat, int64_t version) {
  policy.set_parameters(data_of<float>("parameters", flat, {policy.shape().parameter_count()}), version);
}

ActionSelection action_selection(const std::string& name) {
  if (name == "epsilon_greedy") return ActionSelection::kEpsilonGreedy;
  if (name == "softmax") return ActionSelection::kSoftmax;
  throw std::invalid_argument("action_selection must be 'epsilon_greedy' or 'softmax', got '" + name + "'");
}

void bind_policy(py::module_& m) {
  py::class_<PolicyShape>(m, "PolicyShape")
      .def(py::init([](int n_agents, int n_actions, int obs_size, int hidden_size, bool last, bool id,
                       const std::string& selection) {
             return PolicyShape{
                 n_agents, n_actions, obs_size, hidden_size, last, id, action_selection(selection)};
           }),
           py::kw_only(), py::arg("n_agents"), py::arg("n_actions"), py::arg("obs_size"),
           py::arg("hidden_size"), py::arg("use_last_action"), py::arg("use_agent_id"),
           py::arg("action_selection") = "epsilon_greedy")
      .def_property_readonly("parameter_count", &PolicyShape::parameter_count);

  py::class_<Policy>(m, "Policy")
      .def(py::init<const PolicyShape&, int, uint64_t, uint64_t, const std::string&>(), py::arg("shape"),
           py::kw_only(), py::arg("num_envs"), py::arg("seed"), py::arg("first_env") = 0,
           py::arg("isa") = "auto")
      .def_property_readonly("isa", [](const Policy& policy) { return policy.kernels().name; })
      .def_property_readonly("version", &Policy::version)
      .def("set_parameters", &set_parameters, py::arg("flat"), py::arg("version"))
      .def("begin", &Policy::begin, py::arg("env"), py::arg("epsilon"))
      .def(
          "act",
          [](Policy& policy, const py::array& obs, const py::array& avail) {
            const py::ssize_t E = policy.num_envs(), N = policy.shape().n_agents;
            const float* seen = data_of<float>("obs", obs, {E, N, policy.shape().obs_size});
            const uint8_t* legal = data_of<uint8_t>("avail_actions", avail, {E, N, policy.shape().n_actions});
            py::array_t<int32_t> actions({E, N});
            int32_t* to = actions.mutable_data();
            std::vector<int> envs(E);
            for (int e = 0; e < E; ++e) {
              envs[e] = e;
              if (policy.version_of(e) < 0)
                throw std::logic_error("env " + std::to_string(e) + ": call begin() first");
            }
            {
              py::gil_scoped_release release;
              policy.act(envs.data(), static_cast<int>(E), seen, legal, to);
            }
            return actions;
          },
          py::arg("obs"), py::arg("avail_actions"))
      .def_property_readonly("q",
                             [](const Policy& policy) {  // a copy: f32 [E, N, A] of the last act()
                               const py::ssize_t E = policy.num_envs(), N = policy.shape().n_agents,
                                                 A = policy.shape().n_actions;
                               py::array_t<float> values({E, N, A});
                               for (int e = 0; e < E; ++e) {
                                 for (int agent = 0; agent < N; ++agent) {
                                   std::copy_n(policy.q(e) + agent * policy.q_stride(), A,
                                               values.mutable_data(e, agent, 0));
                                 }
                               }
                               return values;
                             });
  m.def("policy_kernels", &available_policy_kernels,
        "Instruction sets the policy can use here, the best first.");
}

void bind_recorder(py::module_& m) {
  py::class_<EpisodeLayout>(m, "EpisodeLayout")
      .def(py::init([](int n_agents, int n_actions, int obs_size, int state_size, int episode_limit,
                       int real_bytes, int index_bytes) {
             return EpisodeLayout{n_agents,      n_actions,  obs_size,   state_size,
                                  episode_limit, real_bytes, index_bytes};
           }),
           py::kw_only(), py::arg("n_agents"), py::arg("n_actions"), py::arg("obs_size"),
           py::arg("state_size"), py::arg("episode_limit"), py::arg("real_bytes"), py::arg("index_bytes"));

  py::class_<EpisodeView>(m, "FinishedEpisode")
      .def_property_readonly("frames",
                             [](const EpisodeView& view) { return frames_of(view.episode, view.layout); })
#define POWQMIX_FIELD(name) \
  def_property_readonly(#name, [](const EpisodeView& view) { return view.episode.name; })
      .POWQMIX_FIELD(env)
      .POWQMIX_FIELD(steps)
      .POWQMIX_FIELD(terminated)
      .POWQMIX_FIELD(truncated)
      .POWQMIX_FIELD(battle_won)
      .POWQMIX_FIELD(episode_return)
      .POWQMIX_FIELD(parameter_version)
      .POWQMIX_FIELD(epsilon);
#undef POWQMIX_FIELD

  py::class_<Recorder>(m, "Recorder")
      .def(py::init<const EpisodeLayout&, int, const std::string&>(), py::arg("layout"), py::kw_only(),
           py::arg("num_envs"), py::arg("isa") = "auto")
      .def("begin", &Recorder::begin, py::arg("env"), py::kw_only(), py::arg("parameter_version"),
           py::arg("epsilon"))
      .def(
          "observe",
          [](Recorder& recorder, int e, const py::array& obs, const py::array& state,
             const py::array& avail) {
            const EpisodeLayout& at = recorder.layout();
            recorder.observe(e, data_of<float>("obs", obs, {at.n_agents, at.obs_size}),
                             data_of<float>("state", state, {at.state_size}),
                             data_of<uint8_t>("avail_actions", avail, {at.n_agents, at.n_actions}));
          },
          py::arg("env"), py::arg("obs"), py::arg("state"), py::arg("avail_actions"))
      .def(
          "step",
          [](Recorder& recorder, int e, const py::array& actions, float reward, bool terminated) {
            recorder.step(e, data_of<int32_t>("actions", actions, {recorder.layout().n_agents}), reward,
                          terminated);
          },
          py::arg("env"), py::arg("actions"), py::arg("reward"), py::arg("terminated"))
      .def(
          "finish",
          [](Recorder& recorder, int e, bool terminated, bool truncated, bool won) {
            return EpisodeView{recorder.finish(e, terminated, truncated, won), recorder.layout()};
          },
          py::arg("env"), py::kw_only(), py::arg("terminated"), py::arg("truncated"), py::arg("battle_won"))
      .def("abort", &Recorder::abort)
      .def_property_readonly("free_buffers", &Recorder::free_buffers);
}

void bind_rollout(py::module_& m) {
  py::class_<SleepingEnvOptions>(m, "SleepingEnv")
      .def(py::init([](int num_envs, uint64_t seed, double sleep_s) {
             if (num_envs < 1 || !(sleep_s >= 0.0)) {
               throw std::invalid_argument("num_envs must be at least 1, sleep_s at least 0");
             }
             return SleepingEnvOptions{num_envs, seed, sleep_s};
           }),
           py::kw_only(), py::arg("num_envs"), py::arg("seed"), py::arg("sleep_s"));
  py::class_<BoundRollout>(m, "Rollout")
      .def(py::init<const py::object&, const PolicyShape&, const EpisodeLayout&, uint64_t, uint64_t,
                    const std::string&>(),
           py::arg("env"), py::arg("shape"), py::arg("layout"), py::kw_only(), py::arg("seed"),
           py::arg("first_env") = 0, py::arg("isa") = "auto")
      .def_property_readonly("num_envs", [](const BoundRollout& self) { return self.rollout.num_envs(); })
      .def_property_readonly("env_steps", [](const BoundRollout& self) { return self.rollout.env_steps(); })
      .def_property_readonly("version", [](BoundRollout& self) { return self.rollout.policy().version(); })
      .def(
          "set_parameters",
          [](BoundRollout& self, const py::array& flat, int64_t version) {
            set_parameters(self.rollout.policy(), flat, version);
          },
          py::arg("flat"), py::arg("version"))
      .def(
          "advance",
          [](BoundRollout& self, float epsilon, int64_t max_steps, size_t min_episodes) {
            py::gil_scoped_release release;
            return views(self.rollout.advance(epsilon, max_steps, min_episodes), self.layout);
          },
          py::arg("epsilon"), py::arg("max_steps"), py::arg("min_episodes"))
      .def(
          "play_round",
          [](BoundRollout& self, float epsilon) {
            py::gil_scoped_release release;
            return views(self.rollout.play_round(epsilon), self.layout);
          },
          py::arg("epsilon"))
      .def("abort", [](BoundRollout& self) { return self.rollout.abort(); })
      .def(
          "start_clock", [](BoundRollout& self, size_t max_spans) { self.rollout.clock().start(max_spans); },
          py::arg("max_spans"))
      .def_property_readonly("stage_seconds",
                             [](BoundRollout& self) {
                               py::dict seconds;
                               for (int stage = 0; stage < kRolloutStages; ++stage) {
                                 seconds[kRolloutStageNames[stage]] =
                                     1e-9 * static_cast<double>(self.rollout.clock().nanoseconds()[stage]);
                               }
                               return seconds;
                             })
      .def_property_readonly("stage_spans", [](BoundRollout& self) {
        py::list spans;
        for (const StageSpan& span : self.rollout.clock().spans()) {
          spans.append(py::make_tuple(kRolloutStageNames[span.stage],
                                      1e-9 * static_cast<double>(span.start_ns),
                                      1e-9 * static_cast<double>(span.end_ns)));
        }
        return spans;
      });
}

}  // namespace

void bind_actor(py::module_& m) {
  bind_policy(m);
  bind_recorder(m);
  bind_rollout(m);
}

}  // namespace powqmix
