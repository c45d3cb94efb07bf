"""What can be opened: our own network, those of torchvision, those of timm, those that packages declare."""
