// Times ggml's MUL_MAT as `aquifer bench --kernels` times ours: weights of one shape from a ring of matrices larger than
// the caches, samples of at least 10 ms, rounds over all numbers of tokens, the thread's processor time where there is one
// thread. Weights live where llama.cpp puts them: in the repacking buffer for types that it repacks, else as they are.
// Blocks are random bytes with fixed scales, which is as fast as any others.
//
// usage: ggml_products ROWS COLS THREADS ROUNDS TOKENS[,...] TYPE[,...]; prints a JSON object a line.
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

namespace {

constexpr int64_t ring_bytes = 170 << 20;
constexpr double sample_seconds = 10e-3;

// Offsets and values of the F16 scales in a block.
struct scale {
	size_t offset;
	float value;
};
const std::map<ggml_type, std::vector<scale>> scales = {
	{GGML_TYPE_Q8_0, {{0, 2e-4f}}},
	{GGML_TYPE_Q4_0, {{0, 3.4e-3f}}},
	{GGML_TYPE_Q4_1, {{0, 3.4e-3f}, {2, -2.5e-2f}}},
	{GGML_TYPE_Q4_K, {{0, 1e-4f}, {2, 1e-4f}}},
	{GGML_TYPE_Q2_K, {{80, 1.3e-3f}, {82, 1.95e-3f}}},
	{GGML_TYPE_IQ2_XXS, {{0, 2.7e-4f}}},
};

double clock_seconds(clockid_t id) {
	timespec t;
	clock_gettime(id, &t);
	return t.tv_sec + 1e-9 * t.tv_nsec;
}

std::vector<std::string> split(const std::string &text) {
	std::vector<std::string> parts(1);
	for (char c : text) {
		if (c == ',') {
			parts.emplace_back();
		} else {
			parts.back() += c;
		}
	}
	return parts;
}

ggml_type type_of(const std::string &name) {
	for (int t = 0; t < GGML_TYPE_COUNT; t++) {
		const char *known = ggml_type_name((ggml_type)t);
		if (known && name == known) {
			return (ggml_type)t;
		}
	}
	fprintf(stderr, "no type %s\n", name.c_str());
	exit(2);
}

std::vector<uint8_t> random_matrix(ggml_type type, int64_t rows, int64_t cols) {
	std::mt19937_64 random(1);
	std::vector<uint8_t> data(ggml_row_size(type, cols) * rows);
	if (type == GGML_TYPE_F16) {
		std::normal_distribution<float> normal(0, 1 / 64.f);
		std::vector<ggml_fp16_t> some(65521);
		for (auto &h : some) {
			h = ggml_fp32_to_fp16(normal(random));
		}
		for (size_t i = 0; i < data.size() / 2; i++) {
			memcpy(&data[2 * i], &some[i % some.size()], 2);
		}
		return data;
	}
	for (size_t i = 0; i + 8 <= data.size(); i += 8) {
		const uint64_t r = random();
		memcpy(&data[i], &r, 8);
	}
	for (const scale &s : scales.at(type)) {
		const ggml_fp16_t h = ggml_fp32_to_fp16(s.value);
		for (size_t at = s.offset; at < data.size(); at += ggml_type_size(type)) {
			memcpy(&data[at], &h, 2);
		}
	}
	return data;
}

struct device {
	ggml_backend_dev_t dev = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
	ggml_backend_t backend = ggml_backend_dev_init(dev, nullptr);

	// The buffer type that repacks, or null.
	ggml_backend_buffer_type_t repacking() const {
		auto extras = (ggml_backend_dev_get_extra_bufts_t)ggml_backend_reg_get_proc_address(
			ggml_backend_dev_backend_reg(dev), "ggml_backend_dev_get_extra_bufts");
		for (auto *b = extras ? extras(dev) : nullptr; b && *b; b++) {
			if (strstr(ggml_backend_buft_name(*b), "REPACK")) {
				return *b;
			}
		}
		return nullptr;
	}
};

ggml_context *tensors_only(size_t tensors) {
	return ggml_init({tensors * ggml_tensor_overhead() + 4096, nullptr, true});
}

// Weights that are equal, in different places.
struct ring {
	ggml_context *context;
	ggml_backend_buffer_t buffer;
	std::vector<ggml_tensor *> weights;
};

// Fails, with no buffer, if a repacking buffer has nothing for the type.
ring make_ring(ggml_backend_buffer_type_t where, ggml_type type, int64_t rows, int64_t cols, const std::vector<uint8_t> &data) {
	const size_t n = std::clamp<int64_t>(ring_bytes / data.size() + 1, 2, 512);
	ring r{tensors_only(n), nullptr, {}};
	for (size_t i = 0; i < n; i++) {
		r.weights.push_back(ggml_new_tensor_2d(r.context, type, cols, rows));
	}
	r.buffer = ggml_backend_alloc_ctx_tensors_from_buft(r.context, where);
	if (r.buffer && where != ggml_backend_cpu_buffer_type() && !r.weights[0]->extra) {
		ggml_backend_buffer_free(r.buffer);
		r.buffer = nullptr;
	}
	if (!r.buffer) {
		ggml_free(r.context);
		return r;
	}
	for (auto *w : r.weights) {
		ggml_backend_tensor_set(w, data.data(), 0, data.size());
	}
	return r;
}

// Graphs that multiply the ring's weights, some at a time, with the same tokens.
struct products {
	ggml_context *context;
	ggml_backend_buffer_t buffer;
	std::vector<ggml_cgraph *> graphs;
	size_t next = 0;

	products(const device &d, const ring &r, int64_t cols, int64_t tokens, size_t batch) {
		const size_t n = r.weights.size(), count = n / batch;
		context = ggml_init({(n + 2) * ggml_tensor_overhead() + count * ggml_graph_overhead_custom(2 * batch + 8, false) + 4096,
			nullptr, true});
		ggml_tensor *x = ggml_new_tensor_2d(context, GGML_TYPE_F32, cols, tokens);
		for (size_t g = 0; g < count; g++) {
			graphs.push_back(ggml_new_graph_custom(context, 2 * batch + 8, false));
			for (size_t i = 0; i < batch; i++) {
				ggml_build_forward_expand(graphs[g], ggml_mul_mat(context, r.weights[g * batch + i], x));
			}
		}
		buffer = ggml_backend_alloc_ctx_tensors(context, d.backend);
		std::mt19937 random(2);
		std::normal_distribution<float> normal;
		std::vector<float> values(cols * tokens);
		for (auto &v : values) {
			v = normal(random);
		}
		ggml_backend_tensor_set(x, values.data(), 0, values.size() * sizeof(float));
	}

	~products() {
		ggml_backend_buffer_free(buffer);
		ggml_free(context);
	}

	// Seconds of one graph.
	double time(const device &d, clockid_t clock) {
		const double start = clock_seconds(clock);
		ggml_backend_graph_compute(d.backend, graphs[next++ % graphs.size()]);
		return clock_seconds(clock) - start;
	}
};

} // namespace

int main(int argc, char **argv) {
	if (argc != 7) {
		fprintf(stderr, "usage: ggml_products ROWS COLS THREADS ROUNDS TOKENS[,...] TYPE[,...]\n");
		return 2;
	}
	const int64_t rows = atoll(argv[1]), cols = atoll(argv[2]);
	const int threads = atoi(argv[3]), rounds = atoi(argv[4]);
	const clockid_t clock = threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
	device d;
	ggml_backend_cpu_set_n_threads(d.backend, threads);
	for (const auto &name : split(argv[6])) {
		const ggml_type type = type_of(name);
		const auto data = random_matrix(type, rows, cols);
		const char *where = "repack";
		ring r{};
		if (ggml_backend_buffer_type_t repacking = d.repacking()) {
			r = make_ring(repacking, type, rows, cols, data);
		}
		if (!r.buffer) {
			where = "plain";
			r = make_ring(ggml_backend_cpu_buffer_type(), type, rows, cols, data);
		}
		struct series {
			int64_t tokens;
			size_t batch;
			std::vector<double> samples;
		};
		std::vector<series> all;
		std::vector<products *> work;
		for (const auto &text : split(argv[5])) {
			const int64_t tokens = atoll(text.c_str());
			double once;
			{
				products single(d, r, cols, tokens, 1);
				once = std::min(single.time(d, clock), single.time(d, clock));
			}
			const size_t batch = std::clamp<size_t>(sample_seconds / once + 1, 1, r.weights.size());
			all.push_back({tokens, batch, {}});
			work.push_back(new products(d, r, cols, tokens, batch));
		}
		for (int i = 0; i < rounds; i++) {
			for (size_t j = 0; j < all.size(); j++) {
				all[j].samples.push_back(work[j]->time(d, clock) / all[j].batch);
			}
		}
		for (size_t j = 0; j < all.size(); j++) {
			printf("{\"encoding\": \"%s\", \"buffer\": \"%s\", \"n_threads\": %d, \"n_tokens\": %lld, \"samples_ns\": [", name.c_str(),
				where, threads, (long long)all[j].tokens);
			for (int i = 0; i < rounds; i++) {
				printf("%s%.0f", i ? ", " : "", all[j].samples[i] * 1e9);
			}
			printf("]}\n");
			delete work[j];
		}
		fflush(stdout);
		ggml_backend_buffer_free(r.buffer);
		ggml_free(r.context);
	}
	ggml_backend_free(d.backend);
}
