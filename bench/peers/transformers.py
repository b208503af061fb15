"""Vision transformers with torchvision's parameter names and GPT-2s with nanoGPT's, in PyTorch's fastest operators."""
import torch
from torch import nn
from torch.nn import functional as F


def attend(qkv, heads, causal):
    """qkv (B,T,3D) to (B,T,D), by the fused attention that PyTorch chooses."""
    batch, time, width = qkv.shape
    q, k, v = qkv.view(batch, time, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return mixed.transpose(1, 2).reshape(batch, time, width // 3)


class SelfAttention(nn.Module):
    """The parameters of torch.nn.MultiheadAttention, under its names."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.in_proj_weight, self.in_proj_bias = nn.Parameter(torch.empty(3 * dim, dim)), nn.Parameter(torch.empty(3 * dim))
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x):
        return self.out_proj(attend(F.linear(x, self.in_proj_weight, self.in_proj_bias), self.heads, False))


class EncoderLayer(nn.Module):
    def __init__(self, dim, heads, hidden):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.self_attention = SelfAttention(dim, heads)
        # The numbers are torchvision's, whose layers 1, 2 and 4 have no parameters.
        self.mlp = nn.ModuleDict({"0": nn.Linear(dim, hidden), "3": nn.Linear(hidden, dim)})

    def forward(self, x):
        x = x + self.self_attention(self.ln_1(x))
        return x + self.mlp["3"](torch.relu(self.mlp["0"](self.ln_2(x))))


class ViT(nn.Module):
    """x (B,C,H,W) to logits (B,classes)."""

    def __init__(self, dim, depth, heads, patch, side, channels=3, classes=10):
        super().__init__()
        self.conv_proj = nn.Conv2d(channels, dim, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        layers = {f"encoder_layer_{i}": EncoderLayer(dim, heads, 4 * dim) for i in range(depth)}
        self.encoder = nn.Module()
        self.encoder.pos_embedding = nn.Parameter(torch.empty(1, (side // patch) ** 2 + 1, dim))
        self.encoder.layers, self.encoder.ln = nn.ModuleDict(layers), nn.LayerNorm(dim, eps=1e-6)
        self.heads = nn.ModuleDict({"head": nn.Linear(dim, classes)})

    def forward(self, x):
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], 1) + self.encoder.pos_embedding
        for layer in self.encoder.layers.values():
            x = layer(x)
        return self.heads["head"](self.encoder.ln(x)[:, 0])


class GPT2Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.c_attn, self.c_proj = heads, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        return self.c_proj(attend(self.c_attn(x), self.heads, True))


class GPT2Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = GPT2Attention(dim, heads)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(dim, 4 * dim), "c_proj": nn.Linear(4 * dim, dim)})

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class GPT2(nn.Module):
    """tokens (B,T) to logits (B * T,vocab), the head tied to the table of tokens."""

    def __init__(self, vocab, block, dim, depth, heads):
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocab, dim),
                "wpe": nn.Embedding(block, dim),
                "h": nn.ModuleList(GPT2Block(dim, heads) for _ in range(depth)),
                "ln_f": nn.LayerNorm(dim),
            }
        )

    def forward(self, tokens):
        parts = self.transformer
        x = parts["wte"](tokens) + parts["wpe"].weight[: tokens.shape[1]]
        for block in parts["h"]:
            x = block(x)
        return F.linear(parts["ln_f"](x), parts["wte"].weight).flatten(0, 1)


MODELS = {"vit": ViT, "gpt2": GPT2}


def load(kind, sizes, state):
    """A network of these sizes with these values; every parameter must be given."""
    net = MODELS[kind](**sizes)
    net.load_state_dict(state)
    return net
