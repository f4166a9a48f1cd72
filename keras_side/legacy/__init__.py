"""Models written by Keras 1 and 2, and the HDF5 layout that Keras 3 still writes, in the words of Keras 3.

Each rule says where in Keras it comes from. Versions before 2.4 that do not end in ``-tf`` are the standalone
package; all others are ``tf.keras``, which computes some things differently.
"""
