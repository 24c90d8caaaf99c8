// Native environments in Python: numpy arrays that view the buffers a BatchedEnv owns.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "bindings/bindings.h"
#include "envs/batched_env.h"
#include "envs/matrix_game.h"
#include "envs/predator_prey.h"
#include "envs/random_actions.h"

namespace py = pybind11;

namespace powqmix {

namespace {

using Actions = py::array_t<int32_t, py::array::c_style>;

// A read-only array over `data`: only the environment writes there. It keeps the environment alive.
template <typename T>
py::array view(py::object owner, std::vector<T>& data, std::vector<py::ssize_t> shape) {
  py::array_t<T> array(std::move(shape), data.data(), std::move(owner));
  array.attr("setflags")(py::arg("write") = false);
  return array;
}

const int32_t* checked(const BatchedEnv& env, const py::object& given) {
  const py::ssize_t E = env.num_envs(), N = env.spec().n_agents;
  std::string got = py::str(py::type::handle_of(given).attr("__name__"));
  if (py::isinstance<py::array>(given)) {
    const py::array actions = py::reinterpret_borrow<py::array>(given);
    if (py::isinstance<Actions>(actions) && actions.ndim() == 2 && actions.shape(0) == E &&
        actions.shape(1) == N) {
      return static_cast<const int32_t*>(actions.data());
    }
    got = std::string(py::str(actions.dtype())) + " of shape " + std::string(py::str(actions.attr("shape")));
  }
  throw std::invalid_argument(env.spec().id + ": actions must be C-contiguous int32 [" + std::to_string(E) +
                              ", " + std::to_string(N) + "], got " + got);
}

void bind_base(py::module_& m) {
  py::class_<EnvSpec>(m, "EnvSpec")
      .def_readonly("id", &EnvSpec::id)
      .def_readonly("version", &EnvSpec::version)
      .def_readonly("n_agents", &EnvSpec::n_agents)
      .def_readonly("n_actions", &EnvSpec::n_actions)
      .def_readonly("obs_size", &EnvSpec::obs_size)
      .def_readonly("state_size", &EnvSpec::state_size)
      .def_readonly("episode_limit", &EnvSpec::episode_limit)
      .def_readonly("has_win", &EnvSpec::has_win);

  py::class_<BatchOptions>(m, "BatchOptions")
      .def(py::init([](int num_envs, uint64_t seed, int num_threads, uint64_t first_env) {
             return BatchOptions{num_envs, seed, num_threads, first_env};
           }),
           py::kw_only(), py::arg("num_envs") = 1, py::arg("seed") = 0, py::arg("num_threads") = 1,
           py::arg("first_env") = 0);

  auto cls = py::class_<BatchedEnv, std::shared_ptr<BatchedEnv>>(m, "BatchedEnv");
  cls.def_property_readonly("spec", &BatchedEnv::spec, py::return_value_policy::reference_internal)
      .def_property_readonly("num_envs", &BatchedEnv::num_envs)
      .def("reset", &BatchedEnv::reset, py::call_guard<py::gil_scoped_release>())
      .def(
          "step",
          [](BatchedEnv& env, const py::object& actions) {
            const int32_t* data = checked(env, actions);
            py::gil_scoped_release release;
            env.step(data);
          },
          py::arg("actions"))
      .def(
          "random_actions",
          [](const BatchedEnv& env, uint64_t seed, uint64_t step) {
            Actions actions({env.num_envs(), env.spec().n_agents});
            random_actions(env, seed, step, actions.mutable_data());
            return actions;
          },
          "Uniformly random legal actions, int32 [E, N]: a function of seed, env index, step.",
          py::arg("seed"), py::arg("step"))
      .def(
          "get_state", [](const BatchedEnv& env, int e) { return py::bytes(env.get_state(e)); },
          py::arg("env"))
      .def(
          "set_state", [](BatchedEnv& env, int e, const py::bytes& bytes) { env.set_state(e, bytes); },
          py::arg("env"), py::arg("bytes"));

#define POWQMIX_VIEW(name, ...)                                                          \
  cls.def_property_readonly(#name, [](py::object self) {                                 \
    auto& env = self.cast<BatchedEnv&>();                                                \
    [[maybe_unused]] const EnvSpec& spec = env.spec();                                   \
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
}

void bind_matrix_game(py::module_& m) {
  py::class_<MatrixGame, BatchedEnv, std::shared_ptr<MatrixGame>>(m, "MatrixGame")
      .def(py::init<const std::string&, std::vector<float>, int, int, int, const BatchOptions&>(),
           py::kw_only(), py::arg("id"), py::arg("payoff"), py::arg("n_agents"), py::arg("n_actions"),
           py::arg("episode_limit"), py::arg("batch"));
}

void bind_predator_prey(py::module_& m) {
  py::class_<PredatorPrey, BatchedEnv, std::shared_ptr<PredatorPrey>>(m, "PredatorPrey")
      .def(py::init([](int grid, int n_agents, int n_prey, int sight, float punishment, float capture_reward,
                       int episode_limit, const BatchOptions& batch) {
             const PredatorPreyOptions options{grid,       n_agents,       n_prey,       sight,
                                               punishment, capture_reward, episode_limit};
             return std::make_shared<PredatorPrey>(options, batch);
           }),
           py::kw_only(), py::arg("grid"), py::arg("n_agents"), py::arg("n_prey"), py::arg("sight"),
           py::arg("punishment"), py::arg("capture_reward"), py::arg("episode_limit"), py::arg("batch"))
      .def(
          "board",
          [](const PredatorPrey& env, int e) {
            PredatorPrey::Board board = env.board(e);
            return py::make_tuple(board.steps, std::move(board.agents), std::move(board.prey));
          },
          "(steps, agents, prey): cells as row * grid + column, -1 for one that left.", py::arg("env"))
      .def(
          "place",
          [](PredatorPrey& env, int e, int32_t steps, std::vector<int32_t> agents,
             std::vector<int32_t> prey) { env.place(e, {steps, std::move(agents), std::move(prey)}); },
          py::arg("env"), py::arg("steps"), py::arg("agents"), py::arg("prey"));
}

}  // namespace

// A new native game adds a function like the two above, here or in a file of its own, and a line below.
void bind_envs(py::module_& m) {
  bind_base(m);
  bind_matrix_game(m);
  bind_predator_prey(m);
}

}  // namespace powqmix
