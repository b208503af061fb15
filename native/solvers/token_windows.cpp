// Two pieces in pinned memory of the host, one on the device: while one is being gathered the other is copied and read.
#include "solvers/token_windows.h"

#include <algorithm>

#include "ir/error.h"

namespace ptmz {
namespace {

// Whole batches, so that a batch never lies in two pieces.
int64_t windows_of_piece(const Dataset& data, const WindowReaders& readers, int64_t members) {
  const int64_t window = (data.window + 1) * static_cast<int64_t>(sizeof(int32_t));
  const int64_t batches = std::max<int64_t>(1, readers.piece_bytes / (members * readers.batch * window));
  const int64_t in_epoch = (data.count + readers.batch - 1) / readers.batch;
  return std::min(batches, in_epoch) * readers.batch;
}

}  // namespace

void TokenWindows::Pinned::operator()(int32_t* tokens) const noexcept { device->release_pinned(tokens); }

TokenWindows::TokenWindows(const Dataset& data, const Device& device, DeviceStream& stream, WindowReaders readers)
    : data_(data),
      readers_(std::move(readers)),
      stream_(stream),
      members_(std::max<int64_t>(1, static_cast<int64_t>(readers_.seeds.size()))),
      row_(windows_of_piece(data_, readers_, members_)),
      on_device_(members_ * row_ * window() * static_cast<int64_t>(sizeof(int32_t)), &device),
      order_(readers_.seeds.size()) {
  for (Piece& piece : pieces_) {
    piece.tokens = {static_cast<int32_t*>(device.allocate_pinned(on_device_.bytes())), Pinned{&device}};
    if (!piece.tokens)
      throw Error("OUT_OF_MEMORY", std::string(device.name()) + ": could not allocate " +
                                       std::to_string(on_device_.bytes()) + " bytes of the host's memory for tokens");
  }
}

// Neither the thread nor the device reads on.
TokenWindows::~TokenWindows() {
  for (Piece& piece : pieces_) {
    if (piece.gathered.valid()) piece.gathered.wait();
    try {
      if (piece.sent) piece.sent->wait();
    } catch (const std::exception&) {  // whoever reads the state is told
    }
  }
}

bool TokenWindows::holds(const Piece& piece, int64_t epoch, int64_t first, int64_t count) const {
  return piece.epoch >= 0 && (shared() || piece.epoch == epoch) && piece.first <= first &&
         first + count <= piece.first + piece.count;
}

int64_t TokenWindows::bring(int64_t epoch, int64_t first, int64_t count) {
  if (count > row_) throw Error("INTERNAL", "tokens: a batch is larger than a piece");
  if (!holds(pieces_[current_], epoch, first, count)) {
    Piece &next = pieces_[1 - current_], &read = pieces_[current_];
    if (!holds(next, epoch, first, count)) begin(next, epoch, first);
    const int64_t bytes = on_device_.bytes();
    try {
      next.gathered.get();
    } catch (...) {
      next.epoch = -1;  // there is nothing in it
      throw;
    }
    stream_.write_later(on_device_.data(), next.tokens.get(), bytes);
    next.sent = stream_.mark();
    current_ = 1 - current_;
    read.epoch = -1;
    const bool ends = next.first + next.count >= data_.count;
    if (!ends) begin(read, next.epoch, next.first + next.count);
    // Readers that share their windows may come again; they need not where all of them are there.
    if (ends && (shared() ? next.first > 0 : next.epoch + 1 < readers_.epochs)) begin(read, next.epoch + 1, 0);
  }
  return first - pieces_[current_].first;
}

// One piece at a time is gathered: what another thread was still at comes to its end first.
void TokenWindows::begin(Piece& piece, int64_t epoch, int64_t first) {
  if (piece.gathered.valid()) piece.gathered.wait();
  piece.epoch = epoch;
  piece.first = first;
  piece.count = std::min(row_, data_.count - first);
  piece.gathered = std::async(std::launch::async, [this, &piece] { gather(piece); });
}

void TokenWindows::gather(Piece& piece) {
  if (piece.sent) piece.sent->wait();
  if (!shared() && order_epoch_ != piece.epoch) {
    order_epoch_ = piece.epoch;
    for (int64_t m = 0; m < members_; ++m)
      shuffle(readers_.seeds[m], static_cast<uint32_t>(piece.epoch), data_.count, order_[m]);
  }
  for (int64_t m = 0; m < members_; ++m) {
    int32_t* to = piece.tokens.get() + m * row_ * window();
    for (int64_t i = piece.first; i < piece.first + piece.count; ++i, to += window())
      data_.file->read((shared() ? i : order_[m][i]) * data_.stride, window(), to);
  }
}

}  // namespace ptmz
