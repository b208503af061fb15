// TokenWindows: tokens of a file that does not lie on a device, brought there in pieces of many batches. The next piece
// is gathered by a thread of its own while the device works on the one before.
#pragma once
#include <future>
#include <memory>
#include <vector>

#include "backend/device.h"
#include "solvers/dataset.h"

namespace ptmz {

// Who reads the windows of a data set, and in which order.
struct WindowReaders {
  std::vector<uint64_t> seeds;  // of members with orders of their own; empty: all read the same ones, as stored
  int64_t batch = 1;            // windows that a batch has, but for the last one of an epoch
  int64_t epochs = 1;           // of members: nothing is read ahead beyond them
  int64_t piece_bytes = int64_t{1} << 24;
};

class TokenWindows {
 public:
  // `stream`: where the batches are loaded.
  TokenWindows(const Dataset& data, const Device& device, DeviceStream& stream, WindowReaders readers);
  ~TokenWindows();
  // Sees to it that windows [first, first + count) of every reader are on the device for what the stream is given from
  // now on; returns their place in a reader's row. Throws what is wrong with the file.
  int64_t bring(int64_t epoch, int64_t first, int64_t count);
  // (readers, row) windows of window + 1 tokens.
  const int32_t* data() const { return static_cast<const int32_t*>(on_device_.data()); }
  int64_t row() const { return row_; }
  bool shared() const { return readers_.seeds.empty(); }

 private:
  struct Pinned {
    const Device* device;
    void operator()(int32_t* tokens) const noexcept;
  };
  struct Piece {
    int64_t epoch = -1, first = 0, count = 0;
    std::unique_ptr<int32_t[], Pinned> tokens;
    std::unique_ptr<DeviceMark> sent;  // passed: the tokens may be overwritten
    std::future<void> gathered;
  };
  int64_t window() const { return data_.window + 1; }
  bool holds(const Piece& piece, int64_t epoch, int64_t first, int64_t count) const;
  void begin(Piece& piece, int64_t epoch, int64_t first);
  void gather(Piece& piece);

  const Dataset data_;
  const WindowReaders readers_;
  DeviceStream& stream_;
  const int64_t members_, row_;
  Buffer on_device_;
  Piece pieces_[2];
  int current_ = 0;
  std::vector<std::vector<int32_t>> order_;  // of the epoch order_epoch_; of the gathering thread
  int64_t order_epoch_ = -1;
};

}  // namespace ptmz
