// Fibers: the threads of one block of the emulated device.
#pragma once
#include <functional>
#include <vector>

namespace cuda_on_host {

// Runs `body` once for every thread, in the order of their indices in `threads`; blockDim and blockIdx are set.
void run_block(const std::vector<unsigned>& threads, const std::function<void()>& body);
// What __syncthreads() does: returns when all threads of the block have called it.
void wait_for_block();

}  // namespace cuda_on_host
