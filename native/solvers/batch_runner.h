// BatchRunner: runs programs over batches of a data set and adds up their outputs, on the CPU or on the programs'
// device.
#pragma once
#include <memory>

#include "solvers/batches.h"

namespace ptmz {

// sums[r][column + i] += weight * values[r][i] for all rows of `sums`, which is float64. An output that depends on
// nothing of its own has a single row, which counts for all.
struct Addition {
  const Vector* values;
  double weight;
  Vector* sums;
  int64_t column = 0;
};

class BatchRunner {
 public:
  virtual ~BatchRunner() = default;
  // Where the vectors that programs run over, and sums, must lie; null: the host.
  virtual const Device* device() const = 0;
  // Samples [first, first + program.batch) as stored into the row of x and y that all members share; then the program
  // over `vectors`, and the additions. On a device it may not be done when it returns.
  virtual void run(const BatchProgram& program, const std::vector<Vector*>& vectors, int64_t first,
                   const RunOptions& options, const std::vector<Addition>& additions) = 0;
  // Sets all elements to 0, in the order of the runs.
  virtual void clear(Vector& sums) = 0;
  // All rows of `sums` once every run is done. Throws what was wrong in one of them.
  virtual std::vector<double> read(const Vector& sums) = 0;
};

// `device`: where the programs run, null: the CPU. On a device samples are copied there once.
std::unique_ptr<BatchRunner> open_batches(const Dataset& data, const Device* device);
std::unique_ptr<BatchRunner> open_device_batches(const Dataset& data, const Device& device);

// The device of either program, null for the CPU.
const Device* device_of(const BatchProgram& batch, const BatchProgram& tail);

}  // namespace ptmz
