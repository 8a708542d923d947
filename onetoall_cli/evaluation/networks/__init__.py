"""The networks that metrics look through: I3D, 3D ResNet-50, Inception-v3, VGG-16 and AlexNet, face embeddings.

Modules carry the published names of their weights, and `stored` loads those strictly.
"""
