"""What the commands do, each as one library call: train, detect, demo."""
