#include "envs/skirmish_terrain.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>
#include <stdexcept>

namespace powqmix::skirmish {

namespace {

constexpr int kFine = 8;                     // samples a cell in each direction
constexpr int kFineSize = kFine * kMapSize;  // samples a side
constexpr float kSightClearance = 0.3f;      // a straight path keeps this distance from walls

std::vector<std::string> checked(const std::vector<std::string>& rows) {
  if (rows.size() != kMapSize) {
    throw std::invalid_argument("terrain: wanted 32 rows, got " + std::to_string(rows.size()));
  }
  for (int r = 0; r < kMapSize; ++r) {
    if (rows[r].size() != kMapSize) {
      throw std::invalid_argument("terrain: row " + std::to_string(r) + ": wanted 32 characters, got " +
                                  std::to_string(rows[r].size()));
    }
    const size_t bad = rows[r].find_first_not_of("0123456789#^/\\");
    if (bad != std::string::npos) {
      throw std::invalid_argument("terrain: row " + std::to_string(r) + ", column " + std::to_string(bad) +
                                  ": '" + rows[r][bad] + "' is none of 0-9 # ^ / \\");
    }
  }
  return rows;
}

char at(const std::vector<std::string>& rows, int x, int y) {
  if (x < 0 || y < 0 || x >= kMapSize || y >= kMapSize) return '#';
  return rows[kMapSize - 1 - y][x];
}

bool full(char c, bool cliffs) { return (c >= '0' && c <= '9') || (cliffs && c == '^'); }

// Whether the point (u, v) in [0, 1)^2 of cell (x, y) can be stood on.
bool open_at(const std::vector<std::string>& rows, int x, int y, float u, float v, bool cliffs) {
  const char c = at(rows, x, y);
  if (c == '/') {  // the line v = u; above it lie the left and the upper neighbour
    const bool above = full(at(rows, x - 1, y), cliffs) || full(at(rows, x, y + 1), cliffs);
    return above ? v >= u : v <= u;
  }
  if (c == '\\') {  // the line v = 1 - u; above it lie the right and the upper neighbour
    const bool above = full(at(rows, x + 1, y), cliffs) || full(at(rows, x, y + 1), cliffs);
    return above ? v >= 1 - u : v <= 1 - u;
  }
  return full(c, cliffs);
}

WalkLayer make_layer(const std::vector<std::string>& rows, bool cliffs) {
  std::vector<uint8_t> open(kFineSize * kFineSize), cells(kCells);
  for (int y = 0; y < kFineSize; ++y) {
    for (int x = 0; x < kFineSize; ++x) {
      const float u = (x % kFine + 0.5f) / kFine, v = (y % kFine + 0.5f) / kFine;
      open[y * kFineSize + x] = open_at(rows, x / kFine, y / kFine, u, v, cliffs);
    }
  }
  for (int cell = 0; cell < kCells; ++cell)
    cells[cell] = full(at(rows, cell % kMapSize, cell / kMapSize), cliffs);
  return WalkLayer(open, cells);
}

}  // namespace

WalkLayer::WalkLayer(const std::vector<uint8_t>& open, const std::vector<uint8_t>& cells)
    : field_(kVertices * kVertices), index_(kCells) {
  const auto is_open = [&](int x, int y) {
    return x >= 0 && y >= 0 && x < kFineSize && y < kFineSize && open[y * kFineSize + x];
  };
  constexpr int kReach = static_cast<int>(kFar) * kFine;
  for (int j = 0; j < kVertices; ++j) {
    for (int i = 0; i < kVertices; ++i) {
      const int vx = i * kFine / 2, vy = j * kFine / 2;  // the vertex lies between samples v - 1 and v
      int wall = 4 * kReach * kReach, floor = wall;      // squared distances in half samples
      for (int y = vy - kReach; y < vy + kReach; ++y) {
        for (int x = vx - kReach; x < vx + kReach; ++x) {
          const int dx = 2 * (x - vx) + 1, dy = 2 * (y - vy) + 1;
          int& nearest = is_open(x, y) ? floor : wall;
          nearest = std::min(nearest, dx * dx + dy * dy);
        }
      }
      const float to_wall = std::sqrt(static_cast<float>(wall)),
                  to_floor = std::sqrt(static_cast<float>(floor));
      // One of the two is the nearest sample's half diagonal; their difference is 0 on the border.
      field_[j * kVertices + i] = std::clamp((to_wall - to_floor) / (2 * kFine), -kFar, kFar);
    }
  }
  find_paths(cells);
}

float WalkLayer::distance(float x, float y) const { return distance(x, y, nullptr); }

float WalkLayer::distance(float x, float y, Point* gradient) const {
  const float limit = kMapSize - 1e-3f;
  const float gx = 2 * std::clamp(x, 0.0f, limit), gy = 2 * std::clamp(y, 0.0f, limit);
  const int i = static_cast<int>(gx), j = static_cast<int>(gy);
  const float u = gx - i, v = gy - j;
  const float* corner = &field_[j * kVertices + i];
  const float a = corner[0], b = corner[1], c = corner[kVertices], d = corner[kVertices + 1];
  if (gradient != nullptr) {
    gradient->x = 2 * ((b - a) * (1 - v) + (d - c) * v);
    gradient->y = 2 * ((c - a) * (1 - u) + (d - b) * u);
  }
  return (a * (1 - u) + b * u) * (1 - v) + (c * (1 - u) + d * u) * v;
}

Point WalkLayer::project(Point p) const {
  p.x = std::clamp(p.x, 0.0f, kMapSize - 1e-3f);
  p.y = std::clamp(p.y, 0.0f, kMapSize - 1e-3f);
  for (int pass = 0; pass < 64; ++pass) {
    Point g;
    const float d = distance(p.x, p.y, &g);
    if (d >= kClearance) return p;
    const float norm = std::sqrt(g.x * g.x + g.y * g.y);
    if (norm < 1e-4f) break;  // deep inside a wall the field is flat
    const float shift = std::min(kClearance - d + 1e-3f, 0.5f) / norm;
    p.x = std::clamp(p.x + g.x * shift, 0.0f, kMapSize - 1e-3f);
    p.y = std::clamp(p.y + g.y * shift, 0.0f, kMapSize - 1e-3f);
  }
  if (n_cells_ == 0 || distance(p.x, p.y) >= kClearance) return p;
  const int cell = cell_index(p);
  return {centre_x_[cell], centre_y_[cell]};
}

// Walks along the line in strides as long as the nearest wall is far.
bool WalkLayer::sees(Point a, Point b) const {
  constexpr float kShortest = 0.25f;
  const float dx = b.x - a.x, dy = b.y - a.y, length = std::sqrt(dx * dx + dy * dy);
  for (float at = 0; at < length;) {
    const float room = distance(a.x + dx * (at / length), a.y + dy * (at / length)) - kSightClearance;
    if (room < 0) return false;
    at += std::max(kShortest, room);
  }
  return true;
}

void WalkLayer::find_paths(const std::vector<uint8_t>& cells) {
  std::vector<int> id(kCells, -1);
  for (int cell = 0; cell < kCells; ++cell) {
    const float x = cell % kMapSize + 0.5f, y = cell / kMapSize + 0.5f;
    if (!cells[cell] || distance(x, y) < kSightClearance) continue;
    id[cell] = n_cells_++;
    centre_x_.push_back(x);
    centre_y_.push_back(y);
  }
  // Places that are no cell of a path (corners, halves) belong to the nearest one.
  for (int cell = 0; cell < kCells; ++cell) {
    float best = std::numeric_limits<float>::max();
    for (int k = 0; k < n_cells_; ++k) {
      const float dx = centre_x_[k] - (cell % kMapSize + 0.5f), dy = centre_y_[k] - (cell / kMapSize + 0.5f);
      if (dx * dx + dy * dy < best) {
        best = dx * dx + dy * dy;
        index_[cell] = static_cast<uint16_t>(k);
      }
    }
  }
  if (n_cells_ == 0 || n_cells_ == kCells) return;
  const auto centre = [&](int k) { return Point{centre_x_[k], centre_y_[k]}; };
  const size_t n = n_cells_;
  std::vector<uint8_t> visible(n * n, 1);
  bool all_visible = true;
  for (size_t a = 0; a < n; ++a) {
    for (size_t b = a + 1; b < n; ++b) {
      visible[a * n + b] = visible[b * n + a] = sees(centre(a), centre(b));
      all_visible = all_visible && visible[a * n + b];
    }
  }
  if (all_visible) return;

  next_.assign(n * n, kDirect);
  std::vector<float> length(n);
  std::vector<int> parent(n);
  using Entry = std::pair<float, int>;
  for (size_t to = 0; to < n;
       ++to) {  // shortest paths to `to`, then the farthest cell of each that is in sight
    std::fill(length.begin(), length.end(), std::numeric_limits<float>::max());
    std::fill(parent.begin(), parent.end(), -1);
    std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> open;
    length[to] = 0;
    open.emplace(0.0f, static_cast<int>(to));
    while (!open.empty()) {
      const auto [far, k] = open.top();
      open.pop();
      if (far > length[k]) continue;
      const int x = static_cast<int>(centre_x_[k]), y = static_cast<int>(centre_y_[k]);
      for (int dy = -1; dy <= 1; ++dy) {
        for (int dx = -1; dx <= 1; ++dx) {
          const int nx = x + dx, ny = y + dy;
          if (nx < 0 || ny < 0 || nx >= kMapSize || ny >= kMapSize) continue;
          const int other = id[ny * kMapSize + nx];
          if (other < 0 || !visible[static_cast<size_t>(k) * n + other]) continue;
          const float candidate = far + (dx != 0 && dy != 0 ? 1.41421356f : 1.0f);
          if (candidate < length[other]) {
            length[other] = candidate;
            parent[other] = k;
            open.emplace(candidate, other);
          }
        }
      }
    }
    for (size_t from = 0; from < n; ++from) {
      if (visible[from * n + to] || parent[from] < 0) continue;  // out of reach: straight on
      int way = parent[from];
      while (parent[way] >= 0 && visible[from * n + parent[way]]) way = parent[way];
      next_[to * n + from] = static_cast<uint16_t>(way);
    }
  }
}

Terrain::Terrain(const std::vector<std::string>& rows)
    : Terrain(checked(rows), std::any_of(rows.begin(), rows.end(), [](const std::string& row) {
                return row.find('^') != std::string::npos;
              })) {}

Terrain::Terrain(const std::vector<std::string>& rows, bool has_cliffs)
    : has_cliffs_(has_cliffs),
      walkable_(kCells),
      height_(kCells),
      ground_(make_layer(rows, false)),
      cliff_(has_cliffs ? make_layer(rows, true) : ground_) {
  for (int y = 0; y < kMapSize; ++y) {
    for (int x = 0; x < kMapSize; ++x) {
      const char c = at(rows, x, y);
      walkable_[y * kMapSize + x] = c != '#' && c != '^';
      // Halves and cliffs lie between levels; SMAC's grid says 0..1, a level is a quarter.
      height_[y * kMapSize + x] = c >= '0' && c <= '9' ? 0.25f * (c - '0') : c == '#' ? 0.0f : 0.25f;
    }
  }
}

}  // namespace powqmix::skirmish
