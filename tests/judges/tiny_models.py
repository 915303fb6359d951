"""Tiny models that learn a few rows by heart."""


def trained(model, rows, steps=60):
    """Fit (input_ids, labels) rows until the model knows them by heart."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        for row in rows:
            loss = model(**{name: torch.tensor([value]) for name, value in row.items()}).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return model.eval()
