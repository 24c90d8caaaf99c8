// Terrain: where a unit may stand, how far the nearest wall is, and where to walk to reach a place out of
// sight.
//
// Two layers share one map: ground units stop at cliffs, cliff walkers (colossi) do not. Each layer has a
// distance field (half-cell vertices, bilinear between them) that makes walls, diagonals and borders one
// test, and, where not every cell sees every other, a table of next waypoints from every cell to every cell,
// so that no search runs in a step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "powqmix/random.h"

namespace powqmix::skirmish {

constexpr int kMapSize = 32;  // cells a side; every map of the suite is 32 x 32
constexpr int kCells = kMapSize * kMapSize;

struct Point {
  float x = 0, y = 0;
};

// One kind of walker's view of the map.
class WalkLayer {
 public:
  static constexpr float kFar = 2.0f;          // distances are cut here
  static constexpr float kClearance = 0.375f;  // a unit's centre keeps this distance from walls

  // open[8 y + .][8 x + .]: whether that eighth of a cell can be stood on. cell: which cells can be ends of
  // paths.
  WalkLayer(const std::vector<uint8_t>& open, const std::vector<uint8_t>& cells);

  // Signed distance to the nearest wall, at most kFar, and (if wanted) its gradient.
  float distance(float x, float y) const;
  float distance(float x, float y, Point* gradient) const;
  // The nearest allowed place for a unit's centre, by descent along the distance field.
  Point project(Point p) const;
  // Where a unit at `from` should head to reach `to`: `to` itself when it is in sight.
  Point waypoint(Point from, Point to) const {
    if (next_.empty()) return to;
    const int f = cell_index(from), t = cell_index(to);
    const uint16_t cell = next_[static_cast<size_t>(t) * n_cells_ + f];
    return cell == kDirect ? to : Point{centre_x_[cell], centre_y_[cell]};
  }
  bool has_walls_inside() const { return !next_.empty(); }

 private:
  static constexpr int kVertices = 2 * kMapSize + 1;
  static constexpr uint16_t kDirect = 0xffff;

  int cell_index(Point p) const {
    const int x = p.x < 0 ? 0 : p.x >= kMapSize ? kMapSize - 1 : static_cast<int>(p.x);
    const int y = p.y < 0 ? 0 : p.y >= kMapSize ? kMapSize - 1 : static_cast<int>(p.y);
    return index_[y * kMapSize + x];
  }
  bool sees(Point a, Point b) const;
  void find_paths(const std::vector<uint8_t>& cells);

  std::vector<float> field_;     // [kVertices, kVertices]
  std::vector<uint16_t> index_;  // [kCells] nearest path cell's index
  std::vector<float> centre_x_, centre_y_;
  std::vector<uint16_t> next_;  // [to, from]; empty where every cell sees every other
  int n_cells_ = 0;
};

class Terrain {
 public:
  // rows: 32 texts of 32 characters, the first one the north end (y = 31). Digits: ground of that level; '#':
  // wall;
  // '^': cliff, for cliff walkers only; '/' and '\': half a cell, open on the side of its open neighbours.
  // Throws std::invalid_argument naming row and column of what does not fit.
  explicit Terrain(const std::vector<std::string>& rows);

  const WalkLayer& layer(bool walks_cliffs) const { return walks_cliffs && has_cliffs_ ? cliff_ : ground_; }
  // SMAC's pathing grid and terrain height (0..1) of a cell inside the map.
  bool walkable(int x, int y) const { return walkable_[y * kMapSize + x]; }
  float height(int x, int y) const { return height_[y * kMapSize + x]; }

 private:
  Terrain(const std::vector<std::string>& rows, bool has_cliffs);

  bool has_cliffs_;
  std::vector<uint8_t> walkable_;  // [kCells]
  std::vector<float> height_;      // [kCells]
  WalkLayer ground_, cliff_;
};

}  // namespace powqmix::skirmish
