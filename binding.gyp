# CMakeLists.txt is the only list of sources; this delegates to it so that node-gyp and prebuildify work.
{
  "targets": [
    {
      "target_name": "ptmz_native",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "message": "building with CMake",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["<(PRODUCT_DIR)/ptmz_native.node"],
          "action": ["node", "scripts/build-native.cjs", "--out", "<(PRODUCT_DIR)"]
        }
      ]
    }
  ]
}
