// The skirmish simulator in Python. Maps and profiles arrive as plain dicts, checked in
// powqmix/envs/skirmish.py.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "bindings/bindings.h"
#include "envs/skirmish_game.h"

namespace py = pybind11;

namespace powqmix {

namespace {

using namespace skirmish;

Point to_point(const py::handle& value) {
  const auto pair = value.cast<std::pair<float, float>>();
  return {pair.first, pair.second};
}

std::vector<UnitType> to_types(const py::handle& names) {
  std::vector<UnitType> types;
  for (const auto& name : names) types.push_back(unit_type(name.cast<std::string>()));
  return types;
}

std::vector<UnitGroup> to_groups(const py::handle& groups) {
  std::vector<UnitGroup> result;
  for (const auto& group : groups) {
    const auto row = group.cast<py::tuple>();  // (type, count, (x, y))
    result.push_back({unit_type(row[0].cast<std::string>()), row[1].cast<int>(), to_point(row[2])});
  }
  return result;
}

March to_march(const std::string& name) {
  if (name == "point") return March::kPoint;
  if (name == "nearest") return March::kNearest;
  if (name == "between") return March::kBetween;
  if (name == "none") return March::kNone;
  throw std::invalid_argument("march '" + name +
                              "' does not exist; there are: point, nearest, between, none");
}

MapSpec to_map(const py::dict& d) {
  MapSpec map;
  map.name = d["name"].cast<std::string>();
  map.episode_limit = d["limit"].cast<int>();
  map.allies = to_groups(d["allies"]);
  map.enemies = to_groups(d["enemies"]);
  map.types = to_types(d["types"]);
  map.enemy_types = to_types(d["enemy_types"]);
  map.enemy_march = to_march(d["enemy_march"].cast<std::string>());
  map.ally_march = to_march(d["ally_march"].cast<std::string>());
  map.enemy_goal = to_point(d["enemy_goal"]);
  map.ally_goal = to_point(d["ally_goal"]);
  map.terrain = d["terrain"].cast<std::vector<std::string>>();
  map.draw_types = to_types(d["draw_types"]);
  map.draw_weights = d["draw_weights"].cast<std::vector<float>>();
  map.draw_weak_types = to_types(d["draw_weak_types"]);
  map.teams = map.draw_types.empty() ? Teams::kFixed : Teams::kRandom;
  return map;
}

Weapon to_weapon(const std::string& name) {
  if (name == "none") return Weapon::kNone;
  if (name == "direct") return Weapon::kDirect;
  if (name == "line") return Weapon::kLine;
  if (name == "suicide") return Weapon::kSuicide;
  if (name == "heal") return Weapon::kHeal;
  throw std::invalid_argument("weapon '" + name +
                              "' does not exist; there are: none, direct, line, suicide, heal");
}

// Every field is given: in loops and map units, as UnitStats wants them.
UnitStats to_stats(const py::dict& d) {
  UnitStats s;
#define POWQMIX_FIELD(name) s.name = d[#name].cast<decltype(s.name)>();
  POWQMIX_FIELD(health)
  POWQMIX_FIELD(shield)
  POWQMIX_FIELD(armour)
  POWQMIX_FIELD(damage)
  POWQMIX_FIELD(bonus)
  POWQMIX_FIELD(period)
  POWQMIX_FIELD(range)
  POWQMIX_FIELD(slop)
  POWQMIX_FIELD(speed)
  POWQMIX_FIELD(radius)
  POWQMIX_FIELD(separation)
  POWQMIX_FIELD(damage_point)
  POWQMIX_FIELD(hit_gap)
  POWQMIX_FIELD(splash_length)
  POWQMIX_FIELD(splash_width)
  POWQMIX_FIELD(health_regen)
  POWQMIX_FIELD(max_cooldown)
  POWQMIX_FIELD(energy)
  POWQMIX_FIELD(max_energy)
  POWQMIX_FIELD(energy_regen)
  POWQMIX_FIELD(heal)
  POWQMIX_FIELD(energy_per_health)
  POWQMIX_FIELD(hits)
  POWQMIX_FIELD(light)
  POWQMIX_FIELD(armoured)
  POWQMIX_FIELD(flies)
  POWQMIX_FIELD(hits_air)
  POWQMIX_FIELD(bonus_light)
  POWQMIX_FIELD(bonus_armoured)
  POWQMIX_FIELD(walks_cliffs)
#undef POWQMIX_FIELD
  s.weapon = to_weapon(d["weapon"].cast<std::string>());
  return s;
}

Profile to_profile(const py::dict& d) {
  Profile profile;
  for (int type = 0; type < kUnitTypes; ++type) {
    profile[type] = to_stats(d[unit_name(static_cast<UnitType>(type))].cast<py::dict>());
  }
  return profile;
}

Options to_options(const py::dict& d) {
  Options o;
#define POWQMIX_OPTION(name) o.features.name = d[#name].cast<bool>();
  POWQMIX_OPTION(obs_last_action)
  POWQMIX_OPTION(obs_pathing_grid)
  POWQMIX_OPTION(obs_terrain_height)
  POWQMIX_OPTION(obs_timestep_number)
  POWQMIX_OPTION(state_timestep_number)
  POWQMIX_OPTION(state_last_action)
  POWQMIX_OPTION(obs_instead_of_state)
  POWQMIX_OPTION(quirks)
  POWQMIX_OPTION(cone_sight)
#undef POWQMIX_OPTION
  o.reward.sparse = d["reward_sparse"].cast<bool>();
  o.reward.only_positive = d["reward_only_positive"].cast<bool>();
  o.reward.quirks = o.features.quirks;
  o.spawn_jitter = d["spawn_jitter"].cast<float>();
  o.mirror = d["mirror"].cast<bool>();
  return o;
}

Script to_script(const std::string& name) {
  if (name == "random") return Script::kRandom;
  if (name == "nearest") return Script::kNearest;
  if (name == "weakest") return Script::kWeakest;
  throw std::invalid_argument("script '" + name + "' does not exist; there are: random, nearest, weakest");
}

}  // namespace

void bind_skirmish(py::module_& m) {
  std::vector<std::string> names;
  for (int type = 0; type < kUnitTypes; ++type) names.emplace_back(unit_name(static_cast<UnitType>(type)));
  m.attr("SKIRMISH_UNIT_TYPES") = py::tuple(py::cast(names));

  py::class_<Skirmish, BatchedEnv, std::shared_ptr<Skirmish>>(m, "Skirmish")
      .def(py::init([](const py::dict& map, const py::dict& profile, const py::dict& options,
                       const BatchOptions& batch) {
             return std::make_shared<Skirmish>(to_map(map), to_profile(profile), to_options(options), batch);
           }),
           py::kw_only(), py::arg("map"), py::arg("profile"), py::arg("options"), py::arg("batch"))
      .def_property_readonly("n_units", &Skirmish::n_units)
      .def_property_readonly("dead_allies",
                             [](py::object self) {
                               auto& env = self.cast<Skirmish&>();
                               return py::array_t<int32_t>(env.num_envs(), env.dead_allies.data(), self);
                             })
      .def_property_readonly("dead_enemies",
                             [](py::object self) {
                               auto& env = self.cast<Skirmish&>();
                               return py::array_t<int32_t>(env.num_envs(), env.dead_enemies.data(), self);
                             })
      .def(
          "scripted_actions",
          [](const Skirmish& env, const std::string& script) {
            py::array_t<int32_t> actions({env.num_envs(), env.spec().n_agents});
            env.scripted_actions(to_script(script), actions.mutable_data());
            return actions;
          },
          py::arg("script"))
      .def(
          "units",
          [](const Skirmish& env, int e, bool ended) {
            py::array_t<float> table({env.n_units(), static_cast<int>(Skirmish::kColumns)});
            env.units(e, ended, table.mutable_data());
            return table;
          },
          py::arg("env"), py::arg("ended") = false)
      .def("episode_step", &Skirmish::episode_step, py::arg("env"), py::arg("ended") = false)
      .def_property_readonly("terrain", [](const Skirmish& env) { return env.map().terrain; })
      .def_property_readonly("unit_limits",
                             [](const Skirmish& env) {  // [unit types, (health, shield, energy, radius)]
                               py::array_t<float> table({static_cast<int>(kUnitTypes), 4});
                               for (int type = 0; type < kUnitTypes; ++type) {
                                 const UnitStats& s = env.profile()[type];
                                 const float row[] = {s.health, s.shield, s.max_energy, s.radius};
                                 std::copy(row, row + 4, table.mutable_data(type, 0));
                               }
                               return table;
                             })
      .def(
          "stage",
          [](Skirmish& env, int e,
             const py::array_t<float, py::array::c_style | py::array::forcecast>& table) {
            if (table.ndim() != 2 || table.shape(0) != env.n_units() || table.shape(1) != Skirmish::kStaged) {
              throw std::invalid_argument(env.spec().id + ": a staged table must be float32 [" +
                                          std::to_string(env.n_units()) + ", " +
                                          std::to_string(Skirmish::kStaged) + "]");
            }
            env.stage(e, table.data());
          },
          py::arg("env"), py::arg("units"));
}

}  // namespace powqmix
