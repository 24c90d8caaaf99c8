// Native environments in Python: numpy arrays that view the buffers a BatchedEnv owns.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "bindings/bindings.h"
#include "envs/batched_env.h"

namespace py = pybind11;

namespace powqmix {

namespace {

template <typename T>
py::array view(py::object owner, std::vector<T>& data, std::vector<py::ssize_t> shape) {
  return py::array_t<T>(std::move(shape), data.data(), std::move(owner));
}

}  // namespace

void bind_envs(py::module_& m) {
  py::class_<EnvSpec>(m, "EnvSpec")
      .def_readonly("id", &EnvSpec::id)
      .def_readonly("version", &EnvSpec::version)
      .def_readonly("n_agents", &EnvSpec::n_agents)
      .def_readonly("n_actions", &EnvSpec::n_actions)
      .def_readonly("obs_size", &EnvSpec::obs_size)
      .def_readonly("state_size", &EnvSpec::state_size)
      .def_readonly("episode_limit", &EnvSpec::episode_limit)
      .def_readonly("has_win", &EnvSpec::has_win);

  using Actions = py::array_t<int32_t, py::array::c_style>;
  // The arrays keep their environment alive: each names it as its base.
  auto cls = py::class_<BatchedEnv, std::shared_ptr<BatchedEnv>>(m, "BatchedEnv");
  cls.def_property_readonly("spec", &BatchedEnv::spec, py::return_value_policy::reference_internal)
      .def_property_readonly("num_envs", &BatchedEnv::num_envs)
      .def("reset", &BatchedEnv::reset, py::call_guard<py::gil_scoped_release>())
      .def(
          "step",
          [](BatchedEnv& env, const Actions& actions) {
            const EnvSpec& spec = env.spec();
            if (actions.ndim() != 2 || actions.shape(0) != env.num_envs() ||
                actions.shape(1) != spec.n_agents) {
              throw std::invalid_argument(spec.id + ": actions must be int32 [" +
                                          std::to_string(env.num_envs()) + ", " +
                                          std::to_string(spec.n_agents) + "]");
            }
            const int32_t* data = actions.data();
            py::gil_scoped_release release;
            env.step(data);
          },
          py::arg("actions").noconvert())
      .def(
          "get_state", [](const BatchedEnv& env, int e) { return py::bytes(env.get_state(e)); },
          py::arg("env"))
      .def("set_state", &BatchedEnv::set_state, py::arg("env"), py::arg("bytes"));

#define POWQMIX_VIEW(name, ...)                                                          \
  cls.def_property_readonly(#name, [](py::object self) {                                 \
    auto& env = self.cast<BatchedEnv&>();                                                \
    const EnvSpec& spec = env.spec();                                                    \
    (void)spec;                                                                          \
    return view(self, env.name, {static_cast<py::ssize_t>(env.num_envs()) __VA_ARGS__}); \
  })
  POWQMIX_VIEW(obs, , spec.n_agents, spec.obs_size);
  POWQMIX_VIEW(state, , spec.state_size);
  POWQMIX_VIEW(avail_actions, , spec.n_agents, spec.n_actions);
  POWQMIX_VIEW(reward, );
  POWQMIX_VIEW(terminated, );
  POWQMIX_VIEW(truncated, );
  POWQMIX_VIEW(battle_won, );
  POWQMIX_VIEW(final_obs, , spec.n_agents, spec.obs_size);
  POWQMIX_VIEW(final_state, , spec.state_size);
  POWQMIX_VIEW(final_avail_actions, , spec.n_agents, spec.n_actions);
#undef POWQMIX_VIEW

  // Games are added below by the files that own them: see csrc/bindings/envs_*.cpp.
}

}  // namespace powqmix
