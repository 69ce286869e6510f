"""The plain PyTorch side of `language`, in a virtual environment of its own: the same transformer, batches and updates as
ours, written as one writes PyTorch by hand, with a key-value cache. Needs torch alone.
"""

import copy
import time

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY, WIDTH, LAYERS, HEADS = 1024, 128, 3, 4
SIZE, HIDDEN = WIDTH // HEADS, -(-WIDTH // 3) * 8
PAD, BEGIN, END, NEVER = 0, 1, 2, [0, 1, 3]
ROWS, ROW = 16, 128  # of a supervised update
ANSWERS, LENGTH, EPOCHS, MINIBATCHES = 64, 24, 2, 2

torch.set_num_threads(1)
torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm_1, self.norm_2 = nn.RMSNorm(WIDTH, eps=1e-5), nn.RMSNorm(WIDTH, eps=1e-5)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate_up = nn.Linear(WIDTH, 2 * HIDDEN, bias=False)
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x, turns, sees, past, dropout):
        batch, length, _ = x.shape
        query, key, value = self.qkv(self.norm_1(x)).view(batch, length, 3, HEADS, SIZE).permute(2, 0, 3, 1, 4)
        query, key = rotated(query, turns), rotated(key, turns)
        if past is not None:
            keys, values, column = past
            keys[:, :, column : column + length], values[:, :, column : column + length] = key, value
            key, value = keys[:, :, : column + length], values[:, :, : column + length]
        causal = sees is None and length > 1
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=sees, is_causal=causal)
        read = self.out(read.transpose(1, 2).reshape(batch, length, WIDTH))
        x = x + F.dropout(read, dropout, training=dropout > 0.0)
        gate, up = self.gate_up(self.norm_2(x)).chunk(2, dim=-1)
        return x + F.dropout(self.down(F.silu(gate) * up), dropout, training=dropout > 0.0)


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.RMSNorm(WIDTH, eps=1e-5)
        self.value, self.score = nn.Linear(WIDTH, 1), nn.Linear(WIDTH, 1)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02 if "embedding" in name else parameter.shape[1] ** -0.5)
        nn.init.zeros_(self.value.weight)
        angle = 10_000.0 ** (-torch.arange(0, SIZE, 2) / SIZE)
        self.register_buffer("angle", angle, persistent=False)
        never = torch.zeros(VOCABULARY)
        never[NEVER] = -1e9
        self.register_buffer("never", never, persistent=False)

    def forward(self, tokens, place=None, sees=None, past=None, last=False, dropout=0.0):
        if place is None:
            place = torch.arange(tokens.shape[1])[None]
        turns = (place[:, None, :, None] * self.angle).cos(), (place[:, None, :, None] * self.angle).sin()
        x = F.dropout(self.embedding(tokens), dropout, training=dropout > 0.0)
        for layer, block in enumerate(self.blocks):
            x = block(x, turns, sees, past and (*past[0][layer], past[1]), dropout)
        x = self.norm(x[:, -1:] if last else x)
        logits = F.linear(x, self.embedding.weight) + self.never
        return logits, self.value(x)[..., 0], self.score(x)[..., 0]


def rotated(x, turns):
    cosine, sine = turns
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def drawn(logits):
    """Returns a token a row: the first of exponential clocks, one pass over the probabilities."""
    probabilities = torch.softmax(logits, dim=-1)
    return (probabilities / torch.empty_like(probabilities).exponential_()).argmax(dim=-1)


@torch.inference_mode()
def sample(model, cached=True):
    """Returns answers [ANSWERS, 1 + LENGTH] to the begin token, pad after the end."""
    tokens = torch.full((ANSWERS, 1 + LENGTH), PAD)
    tokens[:, 0] = BEGIN
    shape = (ANSWERS, HEADS, LENGTH, SIZE)
    memory = [(torch.empty(shape), torch.empty(shape)) for _ in range(LAYERS)]
    going = torch.ones(ANSWERS, dtype=torch.bool)
    for place in range(LENGTH):
        if cached:
            here = torch.tensor([[place]])
            logits, *_ = model(tokens[:, place : place + 1], here, past=(memory, place))
        else:
            logits, *_ = model(tokens[:, : place + 1], last=True)
        token = torch.where(going, drawn(logits[:, -1]), PAD)
        tokens[:, place + 1] = token
        going = going & (token != END)
        if not going.any():
            break
    return tokens


def supervised():
    """Returns a function that makes one update on packed rows."""
    model = Transformer()
    average = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
    tokens = torch.randint(4, VOCABULARY, (64, ROW))
    number = torch.arange(ROW) // 32 + 1  # four texts a row
    sees = (number[:, None] == number) & torch.ones(ROW, ROW, dtype=torch.bool).tril()
    place = (torch.arange(ROW) % 32)[None]
    counted = number[:-1] == number[1:]

    def update():
        rows = tokens[torch.randperm(len(tokens))[:ROWS]]
        logits, *_ = model(rows, place, sees[None, None], dropout=0.1)
        loss = F.cross_entropy(logits[:, :-1][:, counted].flatten(0, 1), rows[:, 1:][:, counted].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in model.parameters() if p.grad is not None], 1.0, foreach=True)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(model.parameters()), 0.01)

    return update


def ppo():
    """Returns a function that makes one update of PPO: answers, three reading passes, epochs of minibatches."""
    policy = Transformer()
    reference, reward_model = copy.deepcopy(policy), Transformer()
    optimizer = torch.optim.Adam(policy.parameters(), lr=5e-4, eps=1e-5, fused=True)

    def read(model, tokens):
        logits, value, _ = model(tokens[:, :-1])
        log_probs = torch.log_softmax(logits, dim=-1)
        return log_probs, log_probs.gather(-1, tokens[:, 1:, None])[..., 0], value

    @torch.inference_mode()
    def experience():
        tokens = sample(policy)
        mask = (tokens[:, 1:] != PAD).float()
        (_, log_prob, value), (_, reference_log_prob, _) = read(policy, tokens), read(reference, tokens)
        last = mask.sum(1).long()
        score = reward_model(tokens)[2].gather(1, last[:, None])[:, 0]
        reward = -0.1 * (log_prob - reference_log_prob) * mask
        reward[torch.arange(ANSWERS), last - 1] += score
        value = value * mask
        advantage, following = torch.zeros_like(value), torch.zeros(ANSWERS)
        for t in reversed(range(LENGTH)):
            ahead = value[:, t + 1] if t + 1 < LENGTH else 0.0
            following = reward[:, t] + ahead - value[:, t] + 0.95 * following
            advantage[:, t] = following
        target = (advantage + value) * mask
        advantage = advantage * mask
        mean = advantage.sum() / mask.sum()
        advantage = advantage / (((advantage - mean) ** 2 * mask).sum() / mask.sum()).sqrt()
        return tokens, mask, log_prob, value, advantage, target

    def loss_of(tokens, mask, old, old_value, advantage, target):
        log_probs, log_prob, value = read(policy, tokens)
        ratio = (log_prob - old).exp()
        surrogate = -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        clipped = old_value + (value - old_value).clamp(-0.2, 0.2)
        value_loss = 0.5 * torch.maximum((value - target) ** 2, (clipped - target) ** 2)
        with torch.no_grad():
            (log_probs.exp() * log_probs).sum(-1)  # entropy, which every trainer reports
        return ((surrogate + 0.1 * value_loss) * mask).sum() / mask.sum()

    def update():
        batch = [x.clone() for x in experience()]
        for _ in range(EPOCHS):
            for index in torch.randperm(ANSWERS).chunk(MINIBATCHES):
                optimizer.zero_grad(set_to_none=True)
                loss_of(*(x[index] for x in batch)).backward()
                nn.utils.clip_grad_norm_([p for p in policy.parameters() if p.grad is not None], 1.0, foreach=True)
                optimizer.step()

    return update


def make_round(workload, times, _):
    """Returns a function that runs the workload so many times and returns the processor's seconds of one."""
    if workload == "supervised step":
        run = supervised()
    elif workload == "PPO update":
        run = ppo()
    else:
        model = Transformer()

        def run():
            sample(model, cached=workload == "sampling")

    def one_round():
        began = time.process_time()
        for _ in range(times):
            run()
        return (time.process_time() - began) / times

    return one_round


def facts():
    return {
        "torch": torch.__version__,
        "parameters": sum(parameter.numel() for parameter in Transformer().parameters()),
    }
