// SIMD levels, the backend's use of them, and the linked BLAS next to our own gemm.
#include <thread>

#include "backend/backend.h"
#include "backend/cpu/blas.h"
#include "check.h"
#include "launches.h"

using namespace launches;

TEST(simd_levels_are_named) {
  const std::vector<std::string> levels = cpu::simd_levels();
  CHECK(levels.front() == "portable");
  for (const std::string& level : levels) CHECK(cpu::kernels_of(level).level == level);
}

TEST(simd_level_unknown) {
  CHECK_CODE(cpu::kernels_of("avx3"), "INVALID_ARGUMENT");
  CHECK_CODE(cpu::kernels_of(""), "INVALID_ARGUMENT");
  try {
    cpu::kernels_of("avx3");
  } catch (const Error& e) {
    for (const std::string& level : cpu::simd_levels()) CHECK(std::string(e.what()).find(level) != std::string::npos);
  }
}

TEST(backend_runs_the_level_in_use) {
  Backend& backend = cpu_backend();
  CHECK(std::string(backend.name()) == "cpu");
  const Conv s{8, 3, 8, 8, 4, 3, 3, 1, 1, 1, 1};
  const std::vector<float> x = random_values<float>(s.x_size(), 1), w = random_values<float>(s.w_size(), 2);
  Launch launch = s.launch(LaunchCode::conv2d);
  backend.prepare(launch, DType::f32);
  CHECK(launch.blocks > 0 && launch.scratch_bytes > 0);
  std::vector<float> y(s.y_size());
  void* const pointers[] = {y.data(), const_cast<float*>(x.data()), const_cast<float*>(w.data())};
  Scratch scratch(launch.scratch_bytes);
  KernelFault fault;
  backend.run(launch, nullptr, DType::f32, pointers, 0, launch.blocks, scratch.data(), fault);
  CHECK(same_bits(y, run<float>(cpu::kernels().level, launch, s.y_size(), x, w)));
}

// A convolution whose arithmetic costs nothing is exact: the float64 result, rounded once.
TEST(small_convolutions_are_rounded_once) {
  const Conv s{3, 3, 5, 5, 4, 3, 3, 2, 2, 1, 1};
  const std::vector<float> x = random_values<float>(s.x_size(), 1), w = random_values<float>(s.w_size(), 2);
  const std::vector<double> wide_x(x.begin(), x.end()), wide_w(w.begin(), w.end());
  Launch launch = s.launch(LaunchCode::conv2d);
  cpu_backend().prepare(launch, DType::f32);
  CHECK(launch.blocks == 1);
  std::vector<float> y(s.y_size());
  void* const pointers[] = {y.data(), const_cast<float*>(x.data()), const_cast<float*>(w.data())};
  Scratch scratch(launch.scratch_bytes);
  KernelFault fault;
  cpu_backend().run(launch, nullptr, DType::f32, pointers, 0, launch.blocks, scratch.data(), fault);
  const std::vector<double> exact = run<double>(cpu::kernels().level, launch, s.y_size(), wide_x, wide_w);
  for (size_t i = 0; i < y.size(); ++i) CHECK(y[i] == static_cast<float>(exact[i]));
}

// Two threads have something to do for two images or more, and a cut never looks at the SIMD level.
TEST(cuts_share_work) {
  for (int64_t n : {2, 8, 16, 64}) {
    for (int64_t size : {4, 7, 14, 28}) {
      const Conv s{n, 64 / size * 2, size, size, 64 / size * 2, 3, 3, 1, 1, 1, 1};
      if (s.work() < 1e5) continue;
      for (LaunchCode code : {LaunchCode::conv2d, LaunchCode::conv2d_input, LaunchCode::conv2d_weight}) {
        Launch launch = s.launch(code);
        cpu::cut_for_kernel(launch, DType::f32);
        CHECK(launch.blocks >= 2);
      }
    }
  }
  Launch launch = Matmul{{}, 128, 64, 64}.launch();
  cpu::cut_for_kernel(launch, DType::f64);
  CHECK(launch.blocks >= 2);
}

TEST(blas_is_named) {
  const std::string name = cpu::blas_name();
  CHECK(cpu::have_blas() ? name.rfind("OpenBLAS ", 0) == 0 : name == "builtin");
}

// The library gives the same bits from several threads at once, and agrees with our gemm on the same numbers.
TEST(blas_from_several_threads) {
  if (!cpu::have_blas()) return;
  const Matmul s{{}, 150, 140, 130};
  const std::vector<float> a = random_values<float>(s.a_size(), 1), b = random_values<float>(s.b_size(), 2);
  std::vector<float> expected(s.out_size());
  cpu::blas_gemm(s.m, s.n, s.k, a.data(), s.k, false, b.data(), s.n, false, expected.data(), s.n, false);
  const Matmul own{{}, s.m, s.n, s.k, false, false, false, false, 2};  // strides that only our gemm takes
  std::vector<float> own_a(own.a_size()), own_b(own.b_size());
  for (size_t i = 0; i < a.size(); ++i) own_a[2 * i] = a[i];
  for (size_t i = 0; i < b.size(); ++i) own_b[2 * i] = b[i];
  for (const std::string& level : cpu::simd_levels()) {
    CHECK_CLOSE(difference(run<float>(level, s.launch(), s.out_size(), a, b), expected), 0, 1e-4);
    CHECK_CLOSE(difference(run<float>(level, own.launch(), own.out_size(), own_a, own_b), expected), 0, 1e-4);
  }
  std::vector<std::vector<float>> results(4);
  std::vector<std::thread> threads;
  for (std::vector<float>& result : results) {
    threads.emplace_back([&] {
      for (int repeat = 0; repeat < 50; ++repeat) {
        result.assign(s.out_size(), std::numeric_limits<float>::quiet_NaN());
        cpu::blas_gemm(s.m, s.n, s.k, a.data(), s.k, false, b.data(), s.n, false, result.data(), s.n, false);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<float>& result : results) CHECK(same_bits(result, expected));
}
