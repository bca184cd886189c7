"""The forum post's script as it stands: raw inputs, ReLU everywhere, unshuffled batches. What the whole job is
compared with; nothing here is advice.
"""

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.ReLU()
        )

    def forward(self, x):
        return self.layers(x)


torch.manual_seed(0)
x = torch.rand(10_000, 1) * 100 - 50
y = x**2
loader = DataLoader(TensorDataset(x, y), batch_size=250)

net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
criterion = nn.MSELoss()
for epoch in range(100):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = criterion(net(inputs), targets)
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss.item():.4f}")

x.requires_grad_()
output = net(x)
first = torch.autograd.grad(output.sum(), x, create_graph=True)[0]
second = torch.autograd.grad(first.sum(), x)[0]
print("f' ", first[:5].flatten().tolist(), "expected", (2 * x[:5]).flatten().tolist())
print("f''", second[:5].flatten().tolist(), "expected", 2.0)
