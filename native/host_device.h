// What marks functions that the CPU and the kernels of a device both compile.
#pragma once

#ifdef __CUDACC__
#define PTMZ_SHARED __host__ __device__ inline  // a function
#define PTMZ_MEMBER __host__ __device__         // a member of a class
#define PTMZ_TEAM __device__ inline             // a template over a team of threads: nvcc needs the device's alone
#else
#define PTMZ_SHARED static inline
#define PTMZ_MEMBER
#define PTMZ_TEAM inline
#endif
